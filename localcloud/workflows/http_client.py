"""HTTP to this machine: bytes out, bytes in, with connections that are kept for the next call.

http_calls.py turns an answer into what a workflow sees.
"""

import select
import socket
import threading
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, IncompleteRead
from urllib.parse import quote

from localcloud.faults import TAG_HEADER
from localcloud.run.access import INTERNAL_HEADER
from localcloud.workflows.errors import error, limit_error
from localcloud.workflows.hosts import Hosts, is_run_host, local_address, split_url
from localcloud.workflows.limits import RESPONSE_BYTES

# Characters that are not encoded in a path or query; a percent sign is part of what is encoded already.
_SAFE = "/%:@!$&'()*+,;=-._~?"


@dataclass(frozen=True)
class Reply:
    code: int
    headers: dict[str, str]  # by canonical name, such as Content-Type
    body: bytes

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


class HttpClient:
    """The connections of one execution, whose strands may call at the same time."""

    def __init__(self, hosts: Hosts):
        self._hosts = hosts
        self._idle: defaultdict[str, list[HTTPConnection]] = defaultdict(list)
        self._busy: set[socket.socket] = set()
        self._lock = threading.Lock()

    def send(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None, timeout_seconds: float
    ) -> Reply:
        """Return the answer, whatever its code.

        Raises
        ------
        WorkflowError
            ConnectionFailedError, ConnectionError, TimeoutError, ResourceLimitError, or an injected fault.
        """
        parts = split_url(url)
        address = local_address(self._hosts, parts)
        target = quote(parts.path or "/", _SAFE) + (f"?{quote(parts.query, _SAFE)}" if parts.query else "")
        if is_run_host(parts):
            headers = {**headers, "Host": parts.netloc, INTERNAL_HEADER: "1"}
        connection = self._connect(address, timeout_seconds)
        busy = connection.sock
        with self._lock:
            self._busy.add(busy)
        try:
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            content = answer.read(RESPONSE_BYTES + 1)
            if answer.length and len(content) <= RESPONSE_BYTES:
                raise IncompleteRead(content, answer.length)
        except TimeoutError:
            connection.close()
            raise error("TimeoutError", f"no answer of {url} within {timeout_seconds} s") from None
        except ValueError as wrong:
            connection.close()
            raise error("ValueError", f"this cannot be sent to {url}: {wrong}") from None
        except (OSError, HTTPException) as broken:
            connection.close()
            raise error("ConnectionError", f"the connection to {url} broke: {broken!r}") from broken
        finally:
            with self._lock:
                self._busy.discard(busy)
        if answer.isclosed() and not answer.will_close:
            self._keep(address, connection)
        else:
            connection.close()
        if len(content) > RESPONSE_BYTES:
            raise limit_error(f"an HTTP response may have {RESPONSE_BYTES} bytes")
        names = {name: "-".join(word.capitalize() for word in name.split("-")) for name in answer.headers}
        if tag := answer.headers.get(TAG_HEADER):
            raise error(tag, f"the call of {url} met an injected fault")
        return Reply(answer.status, {names[name]: value for name, value in answer.headers.items()}, content)

    def interrupt(self) -> None:
        """Break calls that wait for an answer; otherwise a cancelled execution might wait half an hour."""
        with self._lock:
            for busy in self._busy:
                with suppress(OSError):  # it may be closed by now
                    busy.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with self._lock:
            for connections in self._idle.values():
                for connection in connections:
                    connection.close()
            self._idle.clear()

    def _connect(self, address: str, timeout_seconds: float) -> HTTPConnection:
        with self._lock:
            idle = self._idle[address]
            while idle:
                connection = idle.pop()
                if _is_alive(connection):
                    connection.sock.settimeout(timeout_seconds)
                    return connection
                connection.close()
        try:
            connection = HTTPConnection(address, timeout=timeout_seconds)
            connection.connect()
        except (OSError, HTTPException) as refused:
            raise error("ConnectionFailedError", f"no connection to {address}: {refused}") from refused
        return connection

    def _keep(self, address: str, connection: HTTPConnection) -> None:
        with self._lock:
            self._idle[address].append(connection)


def _is_alive(connection: HTTPConnection) -> bool:
    """Return whether an idle connection is still open: an end of file would be readable."""
    return connection.sock is not None and not select.select([connection.sock], [], [], 0)[0]
