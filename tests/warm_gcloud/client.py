"""A call of gcloud: handed over with all that belongs to it; ends as the process does that carries it out."""

import json
import os
import signal
import socket
import sys


def main() -> int:
    server = socket.socket(socket.AF_UNIX)
    server.connect(sys.argv[1])
    call = {"arguments": sys.argv[2:], "environment": dict(os.environ), "folder": os.getcwd()}
    text = json.dumps(call).encode()
    socket.send_fds(server, [len(text).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(text)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: server.send(bytes([number])))
    exit_code = int(server.makefile().readline() or 1)
    if exit_code < 0:  # by a signal
        signal.signal(-exit_code, signal.SIG_DFL)
        os.kill(os.getpid(), -exit_code)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
