"""Doors: addresses of the emulator for programs that send no token, such as the storage client of a stage.

Whoever comes through a member's door is that member. The main door is the owner's. POST /_emulator/doors
{"member": "serviceAccount:EMAIL"} answers the addresses of a member.
"""

import threading
from collections.abc import Callable, Mapping

from localcloud.control import PREFIX
from localcloud.members import OWNER, written
from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.routing import Route

Addresses = Mapping[str, str]  # of "storage" and "apis"


class Doors:
    """The addresses of each member; all share the main door in a cloud that enforces nothing."""

    def __init__(self, main: Addresses):
        """Build it; the addresses of `main` may be filled when the emulator listens."""
        self.main = main
        self._open: Callable[[str], Addresses] | None = None
        self._doors: dict[str, Addresses] = {OWNER: main}
        self._lock = threading.Lock()

    def open_with(self, open_door: Callable[[str], Addresses]) -> None:
        """Give each member a door of its own from now on."""
        self._open = open_door

    def of(self, member: str) -> Addresses:
        """Return the addresses for a member, whose door is opened when it is first needed."""
        if self._open is None:
            return self.main
        with self._lock:
            if member not in self._doors:
                self._doors[member] = self._open(member)
            return self._doors[member]

    def control_routes(self) -> list[Route]:
        return [Route("POST", PREFIX + "doors", self.show)]

    def show(self, request: Request) -> Response:
        asked = request.json().get("member")
        member = written(asked) if isinstance(asked, str) else ""
        if not member:
            raise ApiError(400, f'"member" must be user:EMAIL or serviceAccount:EMAIL, not {asked!r}.')
        return json_response(dict(self.of(member)))
