"""The ports of the emulated cloud: a pair for each door, one of storage and one of all other services.

Storage has a port of its own because a bucket's name may begin a path.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from localcloud.child import CannotStart
from localcloud.control import RequestLog
from localcloud.faults import Faults
from localcloud.routing import Router
from localcloud.server import Server


@dataclass(frozen=True)
class Ports:
    """What answers on the ports of each door; `routers` are those of "storage" and "apis"."""

    routers: Mapping[str, Router]
    faults: Faults
    log: RequestLog

    def open(self, member: str, **numbers: int) -> dict[str, str]:
        """Serve on a member's ports, by default free ones, and return their addresses.

        Raises
        ------
        CannotStart
            A port is taken.
        """
        servers = {name: self._listen(numbers.get(name, 0), name, member) for name in self.routers}
        for server in servers.values():
            threading.Thread(target=server.serve_forever, daemon=True).start()
        return {name: server.url for name, server in servers.items()}

    def _listen(self, port: int, name: str, member: str) -> Server:
        try:
            return Server(port, self.routers[name], self.faults, self.log, member)
        except OSError as error:
            raise CannotStart(f"cannot listen on port {port} ({error.strerror}); choose another") from error
