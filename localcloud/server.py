"""The server: it reads requests, carries out the faults that a test set, and writes answers.

It listens on 127.0.0.1 only, because whoever comes through a member's door is that member. The router decides
what to answer; wire.py reads and writes HTTP.
"""

import socket
import struct
import sys
import time
import traceback
from contextlib import closing
from socketserver import StreamRequestHandler, ThreadingTCPServer

from localcloud.control import PREFIX as CONTROL_PREFIX
from localcloud.control import RequestLog
from localcloud.faults import TAG_HEADER, Faults, Rule
from localcloud.members import OWNER
from localcloud.messages import READ_BYTES, ApiError, Request, Response, error_response, json_response
from localcloud.routing import NO_ROUTE, Match, Router
from localcloud.wire import body_of, read_head, write_response

HOST = "127.0.0.1"


class Server(ThreadingTCPServer):
    """One port, with a thread for each connection; it is the door of `member`."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False  # otherwise all threads that ever served are remembered
    request_queue_size = 1024  # connections that may wait for accept()

    def __init__(self, port: int, router: Router, faults: Faults, log: RequestLog, member: str = OWNER):
        super().__init__((HOST, port), _Connection)
        self.router, self.faults, self.log, self.member = router, faults, log, member

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        """Print a traceback, except for a client that left."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            traceback.print_exc()


class _Connection(StreamRequestHandler):
    """Answers one request after another until one side closes the connection."""

    disable_nagle_algorithm = True
    wbufsize = 64 * 1024  # headers and a small body leave as one packet
    server: Server

    def handle(self):
        while self._answer_one():
            self.wfile.flush()

    def _answer_one(self) -> bool:
        """Answer the next request; return whether another may follow."""
        try:
            head = read_head(self.rfile)
            if head is None:
                return False
            body = body_of(head, self.rfile)
            request = Request(head.method, head.target, head.headers, body, self.server.member)
        except ApiError as error:
            write_response(self.wfile, error_response(error))
            return False
        if head.headers.get("Expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.wfile.flush()
        is_whole = self._route(request)
        try:
            while is_whole and body.read(READ_BYTES):
                pass  # unread by the route; the next request starts after it
        except ApiError:  # the request is answered already
            return False
        return is_whole and head.keeps_alive

    def _route(self, request: Request) -> bool:
        """Answer a request; return False if the connection must be cut."""
        match = self.server.router.match(request)
        if request.path.startswith(CONTROL_PREFIX):  # not counted, and without faults
            return self._send(request, self.server.router.answer(request, match))
        with self.server.log.request(match.route.name if match else NO_ROUTE):
            fault = self.server.faults.next_for(request.method, request.target)
            if fault:
                return self._answer_with(fault, request, match)
            response = self.server.router.answer(request, match)
            self.server.log.count_status(response.status)
            return self._send(request, response)

    def _answer_with(self, fault: Rule, request: Request, match: Match | None) -> bool:
        time.sleep(fault.latency_seconds)
        if fault.action == "reset":
            return self._reset()
        if fault.body is not None:
            response = json_response(fault.body, fault.status or 200)
        elif fault.status or fault.tag:
            error = ApiError(fault.status or 500, fault.message)
            response = match.route.format_error(error) if match else error_response(error)
            response.headers.update({TAG_HEADER: fault.tag} if fault.tag else {})
        elif fault.action == "duplicate":
            first, request = request.twice()
            self.server.router.answer(first, match).close()
            response = self.server.router.answer(request, match)
        else:
            response = self.server.router.answer(request, match)
        if fault.action == "reset_after":
            response.close()
            return self._reset()
        self.server.log.count_status(response.status)
        return self._send(request, response, only_half=fault.action == "truncate")

    def _send(self, request: Request, response: Response, only_half: bool = False) -> bool:
        with closing(response):
            is_head = request.method == "HEAD"
            write_response(self.wfile, response, is_head=is_head, only_half=only_half)
        return not only_half

    def _reset(self) -> bool:
        """Make the connection end with a reset instead of a normal close."""
        at_once = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        return False
