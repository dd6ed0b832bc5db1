"""Identity and Access Management: access tokens, and the service accounts of a project.

REST API v1: https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts. Accounts are
kept in memory. Any access token is accepted, and a request without one is refused; who it makes the caller is
in members.py. Services of Cloud Run look at who calls by its identity token.
"""

import re
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from localcloud.identity import Identity, InvalidToken, unverified_claims
from localcloud.members import member, token_of
from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.pages import page_of
from localcloud.policies import Policies, Policy
from localcloud.projects import DEFAULT_ACCOUNT, PROJECT_NUMBER
from localcloud.rights import callers
from localcloud.rights.enforcement import Rights
from localcloud.rights.resources import account_name
from localcloud.rights.tested import permissions_answer
from localcloud.routing import Handler, Route
from localcloud.shapes import ANYTHING, check_shape, without_nulls

TOKEN_SECONDS = 3600  # that an access token is valid
_ACCOUNTS = "/v1/projects/{project}/serviceAccounts"
_ACCOUNT = _ACCOUNTS + "/{account}"
_ACCOUNT_ID = re.compile(r"[a-z]([-a-z0-9]{4,28}[a-z0-9])")
_DOMAIN = ".iam.gserviceaccount.com"
_NEW_ACCOUNT = {"accountId": str, "serviceAccount": {"*": ANYTHING}}
_TESTABLE = re.compile(r"iam\.serviceAccount.+")
_AGENT = re.compile(rf"service-{PROJECT_NUMBER}@([a-z0-9-]+)\.iam\.gserviceaccount\.com")
STORAGE_AGENT, EVENTARC_AGENT, PUBSUB_AGENT = "gs-project-accounts", "gcp-sa-eventarc", "gcp-sa-pubsub"
# Google's own accounts in a project that are made only when they are asked for, or first used.
_MADE_LATER = {STORAGE_AGENT, EVENTARC_AGENT}


class AccountService:
    """The service accounts of all projects, by e-mail."""

    def __init__(self):
        self._accounts: dict[str, dict[str, Any]] = {}
        self._agents: set[str] = set()
        self._policies = Policies(self.has)  # who may act as an account
        self._lock = threading.Lock()
        # Called with the e-mail and number of an account that was deleted.
        self.on_deletion: list[Callable[[str, str], None]] = [self._policies.rename_deleted]

    def routes(self) -> list[Route]:
        return [
            Route("POST", _ACCOUNTS, self.create),
            Route("GET", _ACCOUNTS, self.list),
            Route("POST", _ACCOUNT + ":disable", self.disable),
            Route("POST", _ACCOUNT + ":enable", self.enable),
            Route("POST", _ACCOUNT + ":getIamPolicy", self.get_policy),
            Route("POST", _ACCOUNT + ":setIamPolicy", self.set_policy),
            Route("POST", _ACCOUNT + ":testIamPermissions", self.test_permissions),
            Route("GET", _ACCOUNT, self.get),
            Route("DELETE", _ACCOUNT, self.delete),
        ]

    def forget_all(self) -> None:
        with self._lock:
            self._accounts.clear()
            self._agents.clear()
        self._policies.forget_all()

    def has(self, email: str) -> bool:
        """Return whether an account exists; of Google's own, those that are made later must have been."""
        agent = _AGENT.fullmatch(email)
        with self._lock:
            if agent:
                return agent[1] not in _MADE_LATER or email in self._agents
            return email in self._accounts

    def agent(self, name: str) -> str:
        """Return the e-mail of one of Google's own accounts, which exists from now on."""
        email = agent_email(name)
        with self._lock:
            self._agents.add(email)
        return email

    def create(self, request: Request, project: str) -> Response:
        asked = without_nulls(request.json())
        check_shape(asked, _NEW_ACCOUNT, "body")
        account_id = asked.get("accountId", "")
        if not _ACCOUNT_ID.fullmatch(account_id):
            raise ApiError(400, f"The account ID {account_id!r} does not have 6 to 30 fitting characters.")
        email = f"{account_id}@{project}{_DOMAIN}"
        number = str(uuid.uuid4().int % 10**21)
        account = {
            **asked.get("serviceAccount", {}),
            "name": f"projects/{project}/serviceAccounts/{email}",
            "projectId": project,
            "uniqueId": number,
            "email": email,
            "etag": "MDEwMjE5MjA=",
            "oauth2ClientId": number,
        }
        with self._lock:
            if email in self._accounts:
                raise ApiError(
                    409, f"Service account {account_id} already exists within project {account['name']}."
                )
            self._accounts[email] = account
        return json_response(account)

    def list(self, request: Request, project: str) -> Response:
        with self._lock:
            accounts = [dict(account) for _, account in sorted(self._accounts.items())]
        ours = [each for each in accounts if project in (each["projectId"], PROJECT_NUMBER)]
        return json_response(page_of("accounts", zip(ours, ours, strict=True), request, 20, 100))

    def get(self, request: Request, project: str, account: str) -> Response:
        self._ask("get", project, account)
        with self._lock:
            return json_response(self._found(account))

    def disable(self, request: Request, project: str, account: str) -> Response:
        self._ask("disable", project, account)
        with self._lock:
            self._found(account)["disabled"] = True
        return json_response({})

    def enable(self, request: Request, project: str, account: str) -> Response:
        self._ask("enable", project, account)
        with self._lock:
            self._found(account).pop("disabled", None)
        return json_response({})

    def delete(self, request: Request, project: str, account: str) -> Response:
        """Delete an account; in the policies that name it, it is named as a deleted one from now on."""
        self._ask("delete", project, account)
        with self._lock:
            deleted = self._accounts.pop(self._found(account)["email"])
        self._policies.drop(deleted["email"])
        for tell in self.on_deletion:
            tell(deleted["email"], deleted["uniqueId"])
        return json_response({})

    def get_policy(self, request: Request, project: str, account: str) -> Response:
        """Return who may act as an account."""
        self._ask("getIamPolicy", project, account)
        with self._lock:
            email = self._found(account)["email"]
        return json_response(self._policies.get(email))

    def set_policy(self, request: Request, project: str, account: str) -> Response:
        """Replace who may act as an account."""
        self._ask("setIamPolicy", project, account)
        with self._lock:
            email = self._found(account)["email"]
        return json_response(self._policies.set(email, request.json().get("policy")))

    def test_permissions(self, request: Request, project: str, account: str) -> Response:
        """Answer what the caller may do with an account.

        For one that does not exist, other services answer nothing; what IAM answers is not documented.
        """
        with self._lock:
            name = self._found(account)["name"]
        return permissions_answer(request, name, _TESTABLE)

    def policy(self, project: str, account: str) -> Policy:
        """Return who may act as an account, by its e-mail."""
        return self._policies.get(account)

    def act_as(self, email: str, project: str, permission: str = callers.ACT_AS) -> None:
        """Refuse the request unless its caller may act as an account that is there.

        A service does not say which of the two is wrong. `permission` is how it spells the permission.

        Raises
        ------
        ApiError
            403
        """
        callers.need_to_act_as(email, project)
        if email != DEFAULT_ACCOUNT and not self.has(email):
            denied = f"Permission '{permission}' denied on service account {email}"
            raise ApiError(403, f"{denied} (or it may not exist).")

    def need(self, account: str) -> None:
        """Raise unless the account exists; that of Compute Engine is there from the start."""
        with self._lock:
            if account != DEFAULT_ACCOUNT:
                self._found(account)

    def is_enabled(self, email: str) -> bool:
        """Return whether an account exists and is not disabled."""
        with self._lock:
            return not self._accounts.get(email, {"disabled": True}).get("disabled")

    def _ask(self, verb: str, project: str, account: str) -> None:
        """Refuse the request unless its caller has a permission on an account, by its e-mail or number.

        With - as the project, one that is not there is a denial, except for who may see all of the project:
        https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts/get.
        """
        with self._lock:
            known = next((email for email, each in self._accounts.items() if account == each["uniqueId"]), "")
        callers.need(f"iam.serviceAccounts.{verb}", account_name(known or account, project))

    def _found(self, account: str) -> dict[str, Any]:
        """Return an account by its e-mail or its number."""
        for each in self._accounts.values():
            if account in (each["email"], each["uniqueId"]):
                return each
        raise _unknown(account)


def _unknown(account: str) -> ApiError:
    return ApiError(404, f"Unknown service account: {account}")


def agent_email(name: str) -> str:
    """Return the e-mail of one of Google's own accounts, whether it exists or not."""
    return f"service-{PROJECT_NUMBER}@{name}{_DOMAIN}"


def with_bearer(routes: Sequence[Route]) -> list[Route]:
    """Return the routes, changed to refuse a request without an access token."""
    return [replace(route, handler=_guarded(route.handler)) for route in routes]


def _guarded(handler: Handler) -> Handler:
    def guarded(request: Request, **arguments: str) -> Response:
        if not request.token:
            message = "Request is missing required authentication credential. Expected OAuth 2 access token."
            raise ApiError(401, message)
        return handler(request, **arguments)

    return guarded


def token_routes(accounts: AccountService, identity: Identity, rights: Rights) -> list[Route]:
    """Return the route that exchanges a service account's key for a token.

    The key itself is not checked, only that its account is there, where rights are enforced or an identity
    token is asked for. A client that names an audience asks for one:
    https://developers.google.com/identity/protocols/oauth2/service-account#httprest
    """

    def grant(request: Request) -> Response:
        asked = dict(parse_qsl(request.read_all().decode(errors="replace")))
        try:
            claims = unverified_claims(asked["assertion"]) if "assertion" in asked else {}
        except InvalidToken as error:
            return _no_grant(f"Invalid JWT: {error}.")
        email, audience = str(claims.get("iss", "")), claims.get("target_audience")
        if rights.are_enforced and "assertion" in asked and not member(email).startswith("serviceAccount:"):
            return _no_grant("Invalid grant: account not found")  # only accounts have keys
        if audience is None and rights.is_at_work(member(email)):
            token = token_of(member(email)) if email else "localcloud"
            return json_response({"access_token": token, "expires_in": TOKEN_SECONDS, "token_type": "Bearer"})
        if not accounts.is_enabled(email):
            return _no_grant("Invalid grant: account not found")
        return json_response({"id_token": identity.token(email, str(audience))})

    return [Route("POST", "/token", grant)]


def _no_grant(reason: str) -> Response:
    return json_response({"error": "invalid_grant", "error_description": reason}, 400)
