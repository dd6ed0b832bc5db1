"""Enforcement: each request needs the permissions of its method, and each question is recorded.

GET /_emulator/rights answers the record: a row for each (member, permission, resource) that was asked, with
the grants that allowed it, or none; "later" lists those that will allow it but do not count yet (delay.py),
and "waited" is true if it was refused for that before it was allowed. DELETE empties the record. Each refusal
is also a line on standard error.
"""

import re
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime

from localcloud.control import PREFIX
from localcloud.members import can_ask
from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.rights.automatic import automatic_grants
from localcloud.rights.callers import Caller, calling
from localcloud.rights.delay import Delays
from localcloud.rights.denied import Denied, rejected
from localcloud.rights.grants import Grant, allowing, grants_of
from localcloud.rights.needs import BY_HANDLER, NONE, Need, UnknownNeed, needs
from localcloud.rights.quota_project import check_quota_project
from localcloud.rights.resources import (
    PROJECT_NUMBER,
    PolicyOf,
    holders,
    in_project,
    project_of_account,
)
from localcloud.routing import Handler, Route

_QUESTION = ("member", "permission", "resource")
_CHANGES_A_POLICY = ".setIamPolicy"  # end of the permissions to do so
_DELETES = ".delete"
_YET = "; a role that allows it was given, and does not count yet"
_BLANK = re.compile(r"{(\??)(\w+)}")  # in the template of a resource
_PLACES = ("project", "location", "region")  # segments of paths that no slash is in

GrantsOf = Callable[[str], list[Grant]]  # of a resource, in its policy
Look = Callable[[Request, Mapping[str, str]], None]  # at a request and the segments of its path


class Rights:
    """What each member may do in a project, by the policies in force.

    Without a project, nothing is asked and everything is allowed. Until judge_by(), nobody has a role.
    """

    def __init__(self, project: str = "", delays: Delays | None = None):
        self.delays = delays or Delays()
        self._policy_of: PolicyOf = lambda holder: {}
        self._is_at_work: Callable[[str], bool] = lambda email: True
        self._project = project
        # For each question, the grants that allowed it, and else those that will when they count.
        self._record: dict[tuple[str, str, str], tuple[list[Grant], list[Grant]]] = {}
        self._early: set[tuple[str, str, str]] = set()  # questions that were refused before grants counted
        self._lock = threading.Lock()

    def judge_by(self, policy_of: PolicyOf, is_at_work: Callable[[str], bool]) -> None:
        """Set how policies are found, and what says whether an account exists and is enabled."""
        self._policy_of, self._is_at_work = policy_of, is_at_work

    @property
    def are_enforced(self) -> bool:
        return bool(self._project)

    def ask(self, member: str, permission: str, resource: str) -> None:
        """Record a question, and refuse it if no grant allows it.

        Raises
        ------
        ApiError
            403, or 401 if the account is gone or disabled.
        """
        if not self._project:
            return
        resource = self._named(resource)
        is_at_work = self.is_at_work(member)
        question = member, permission, resource
        by = self._allowing(*question) if is_at_work else []
        later = self._allowing(*question, by=self._given) if is_at_work and not by else []
        with self._lock:
            is_new = question not in self._record or bool(self._record[question][0])
            self._record[question] = by, later
            if later:
                self._early.add(question)
        if by:
            if permission.endswith(_CHANGES_A_POLICY):
                self.delays.change(resource, self._given(resource))
            return
        if is_new:
            denied = f"localcloud: denied to {member}: {permission} on {resource}"
            print(denied + (_YET if later else ""), file=sys.stderr, flush=True)
        raise Denied(*question) if is_at_work else rejected(member)

    def may(self, member: str, permission: str, resource: str) -> bool:
        return not self._project or bool(self._allowing(member, permission, self._named(resource)))

    def is_at_work(self, member: str) -> bool:
        """Return whether a member can do anything: a person, or an account that is not deleted or disabled.

        What else a policy names, such as all owners of a project, has no token and cannot ask.
        """
        if not can_ask(member):
            return False
        kind, _, email = member.partition(":")
        is_own = kind == "serviceAccount" and self._project and project_of_account(email) == self._project
        return not is_own or self._is_at_work(email)

    def guarded(self, routes: list[Route], look: Look = lambda request, arguments: None) -> list[Route]:
        """Return routes that ask for the permissions of their methods before they do anything.

        `look` runs before that, and may refuse what the service refuses to everybody.
        """
        if not self._project:
            return routes
        return [replace(route, handler=self._guard(route, look)) for route in routes]

    def control_routes(self) -> list[Route]:
        return [Route("GET", PREFIX + "rights", self.show), Route("DELETE", PREFIX + "rights", self.clear)]

    def forget_all(self) -> None:
        self._forget_record()
        self.delays.forget_all()

    def show(self, request: Request) -> Response:
        with self._lock:
            rows = [
                dict(zip(_QUESTION, question, strict=True))
                | {"by": list(map(asdict, by))}
                | ({"later": list(map(asdict, later))} if later else {})
                | ({"waited": True} if by and question in self._early else {})
                for question, (by, later) in self._record.items()
            ]
        return json_response({"asked": rows})

    def clear(self, request: Request) -> Response:
        self._forget_record()
        return json_response({})

    def _forget_record(self) -> None:
        with self._lock:
            self._record.clear()
            self._early.clear()

    def _named(self, resource: str) -> str:
        return in_project(resource, self._project)

    def _allowing(
        self, member: str, permission: str, resource: str, by: GrantsOf | None = None
    ) -> list[Grant]:
        grants = list(automatic_grants(resource, self._project))
        for holder in holders(resource, self._project):
            grants += (by or self._counting)(holder)
        return allowing(grants, member, permission, resource, datetime.now(UTC))

    def _given(self, holder: str) -> list[Grant]:
        return list(grants_of(holder, self._policy_of(holder)))

    def _counting(self, holder: str) -> list[Grant]:
        return self.delays.counting(holder, self._given(holder))

    def _guard(self, route: Route, look: Look) -> Handler:
        def guarded(request: Request, **arguments: str) -> Response:
            needed = needs().get(route.name)
            if not needed:
                raise UnknownNeed(f"the permission of {route.name} is unknown: add it to rights/methods/")
            if not self.is_at_work(request.member):
                raise rejected(request.member)
            _check_place(arguments)
            if arguments.get("project") == PROJECT_NUMBER:
                arguments["project"] = self._project  # the same project, and so the same policy
            look(request, arguments)
            check_quota_project(request, self)
            deleted: list[str] = []

            def ask(member: str, permission: str, resource: str) -> None:
                self.ask(member, permission, resource)
                if permission.endswith(_DELETES):
                    deleted.append(self._named(resource))

            of_handler = frozenset(each.permission for each in needed if each.is_of_handler)
            with calling(Caller(request.member, ask, self.may, route.name, of_handler)) as caller:
                for each in needed:
                    if each.permission != NONE and not each.is_of_handler:
                        caller.need(each.permission, _resource(each, request, arguments))
                answer = route.handler(request, **arguments)
            for resource in deleted:  # which failed if this is not reached
                self.delays.forget(resource)
            _check_asked(caller, needed)
            return answer

        return guarded


def _check_asked(caller: Caller, needed: Iterable[Need]) -> None:
    """Raise UnknownNeed if the handler answered without asking for what its method needs."""
    asked = {permission for _, permission, _ in caller.asked}
    always = {each.permission for each in needed if each.resource == BY_HANDLER}
    if caller.needs_nothing and not asked:
        return
    if missing := sorted(always - asked):
        raise UnknownNeed(f"{caller.method} has not asked for {', '.join(missing)}")
    if not asked and not all(each.permission == NONE for each in needed):
        raise UnknownNeed(f"{caller.method} has not asked for any permission")


def _check_place(arguments: Mapping[str, str]) -> None:
    """Refuse a project or location with an encoded slash, which would make it the name of something else."""
    for name in _PLACES:
        if "/" in arguments.get(name, ""):
            raise ApiError(400, f"Invalid {name}: {arguments[name]}")


def _resource(need: Need, request: Request, arguments: Mapping[str, str]) -> str:
    def value(blank: re.Match) -> str:
        values = request.query if blank[1] else arguments
        if not values.get(blank[2]):
            raise ApiError(400, f"Required parameter: {blank[2]}", reason="required")
        return values[blank[2]]

    return _BLANK.sub(value, need.resource)
