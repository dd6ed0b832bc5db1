"""What gcloud asks about a project on the way: that it is there, its policy, its enabled services."""

from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.routing import Route

PROJECT_NUMBER = "123456789012"
_EMPTY_POLICY = {"version": 1, "etag": "BwAAAAAAAAA=", "bindings": []}


class ProjectService:
    """Every project exists and has one number; policies are kept and told again, not enforced."""

    def __init__(self):
        self._policies: dict[str, dict] = {}

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/v1/projects/{project}", self.get),
            Route("POST", "/v1/projects/{project}:getIamPolicy", self.get_policy),
            Route("POST", "/v1/projects/{project}:setIamPolicy", self.set_policy),
            Route("GET", "/v1/projects/{project}/services/{service}", self.get_service),
        ]

    def forget_all(self) -> None:
        self._policies.clear()

    def get(self, request: Request, project: str) -> Response:
        return json_response(
            {
                "projectNumber": PROJECT_NUMBER,
                "projectId": project,
                "name": project,
                "lifecycleState": "ACTIVE",
                "createTime": "2026-01-01T00:00:00Z",
            }
        )

    def get_policy(self, request: Request, project: str) -> Response:
        return json_response(self._policies.get(project, _EMPTY_POLICY))

    def set_policy(self, request: Request, project: str) -> Response:
        policy = request.json().get("policy")
        if not isinstance(policy, dict):
            raise ApiError(400, "A policy is required.")
        self._policies[project] = _EMPTY_POLICY | policy
        return json_response(self._policies[project])

    def get_service(self, request: Request, project: str, service: str) -> Response:
        name = f"projects/{PROJECT_NUMBER}/services/{service}"
        return json_response({"name": name, "config": {"name": service}, "state": "ENABLED"})
