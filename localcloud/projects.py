"""Resource Manager and Billing, limited to what gcloud asks about a project: is it there, who pays.

Every project exists until POST /_emulator/projects {"only": ["my-lab-forecasts"]} lists the ones that do, and
has a billing account until {"billing": false}. {"created": "2020-02-01T00:00:00Z"} makes all of them older.
"""

import re
import threading
from collections.abc import Callable

from localcloud.control import PREFIX
from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.policies import Policies, Policy
from localcloud.rights.resources import PROJECT_NUMBER
from localcloud.rights.tested import permissions_answer
from localcloud.routing import Route

DEFAULT_ACCOUNT = f"{PROJECT_NUMBER}-compute@developer.gserviceaccount.com"  # there from the start
BILLING_ACCOUNT = "billingAccounts/012345-6789AB-CDEF01"
DEFAULT_MASK = "bindings,etag"  # what a policy changes when the request names no fields

_CREATED = "2026-01-01T00:00:00Z"
# A project cannot tell who may create or list projects: those are permissions of what holds it.
_TESTABLE = re.compile(r"(?!resourcemanager\.(projects\.(create|list)$|folders\.|organizations\.)).+")
_MASKS = {"bindings", "etag", "version", "auditConfigs"}


class Projects:
    """All projects have the same number."""

    def __init__(self, has_account: Callable[[str], bool]):
        self._only: set[str] | None = None
        self._has_billing, self._created = True, _CREATED
        self._policies = Policies(has_account)
        self.rename_deleted = self._policies.rename_deleted
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/v1/projects/{project}", self.get),
            Route("POST", "/v1/projects/{project}:getIamPolicy", self.get_policy),
            Route("POST", "/v1/projects/{project}:setIamPolicy", self.set_policy),
            Route("POST", "/v1/projects/{project}:testIamPermissions", self.test_permissions),
        ]

    def billing_routes(self) -> list[Route]:
        """Return the route of Cloud Billing."""
        return [Route("GET", "/v1/projects/{project}/billingInfo", self.get_billing)]

    def control_routes(self) -> list[Route]:
        return [Route("POST", PREFIX + "projects", self.set)]

    def forget_all(self) -> None:
        with self._lock:
            self._only, self._has_billing, self._created = None, True, _CREATED
        self._policies.forget_all()

    def policy(self, project: str) -> Policy:
        return self._policies.get(project)

    def exist(self, project: str) -> bool:
        """Return whether a project exists; "-" is the project of the named resource and always does."""
        with self._lock:
            return self._only is None or project in {*self._only, PROJECT_NUMBER, "-"}

    def has_role(self, project: str, member: str, roles: set[str]) -> bool:
        """Return whether a project's policy gives a member one of the roles, without a condition."""
        return any(
            each.get("role") in roles and member in each.get("members", []) and "condition" not in each
            for each in self._policies.get(project).get("bindings", [])
        )

    def set(self, request: Request) -> Response:
        asked = request.json()
        only, billing = asked.get("only"), asked.get("billing", True)
        created = asked.get("created", _CREATED)
        is_known = isinstance(only, list) or "billing" in asked or "created" in asked
        if not is_known or not isinstance(billing, bool) or not isinstance(created, str):
            raise ApiError(
                400,
                '"only" (a list of the projects that exist), "billing" (true or false) or "created" (a time) '
                "is required",
            )
        with self._lock:
            self._only = set(map(str, only)) if isinstance(only, list) else self._only
            self._has_billing, self._created = billing, created
        return json_response({"only": sorted(self._only or ()), "billing": billing})

    def get(self, request: Request, project: str) -> Response:
        return json_response(
            {
                "projectNumber": PROJECT_NUMBER,
                "projectId": project,
                "name": project,
                "lifecycleState": "ACTIVE",
                "createTime": self._created,
            }
        )

    def get_billing(self, request: Request, project: str) -> Response:
        """Return the billing account of a project, which is empty where there is none."""
        name = f"projects/{project}/billingInfo"
        account = BILLING_ACCOUNT if self._has_billing else ""
        info = {"name": name, "projectId": project, "billingAccountName": account}
        return json_response(info | {"billingEnabled": self._has_billing})

    def get_policy(self, request: Request, project: str) -> Response:
        return json_response(self._policies.get(project))

    def set_policy(self, request: Request, project: str) -> Response:
        """Replace a policy; its auditConfigs only if the mask names them, as on the service."""
        asked = request.json()
        mask = str(asked.get("updateMask") or DEFAULT_MASK).split(",")
        if unknown := set(mask) - _MASKS:
            raise ApiError(400, f"The update mask names {sorted(unknown)[0]}, which is no field of a policy.")
        policy = self._policies.set(project, asked.get("policy"), audits="auditConfigs" in mask)
        return json_response(policy)

    def test_permissions(self, request: Request, project: str) -> Response:
        """Answer what the caller may do in a project."""
        return permissions_answer(request, f"projects/{project}", _TESTABLE)
