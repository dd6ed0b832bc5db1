"""A call of a loaded program: handed to the server; ends as the process ends that carries it out.

Imports little, and so starts in 10 ms.
"""

import _signal
import _socket
import marshal
import posix
import sys

PASSED_ON = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP)


def main(path: str, program: str, name: str, *arguments: str) -> int:
    """Have the server carry a call out, or become the program, under a name, where it does not take it."""
    server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    server.connect(path)
    files = _open_files(but=server.fileno())
    call = {
        "arguments": arguments,
        "environment": posix.environ,
        "folder": posix.getcwd(),
        "files": files,
        "ignored": [number for number in PASSED_ON if _signal.getsignal(number) == _signal.SIG_IGN],
        "group": posix.getpgid(0),
        "session": posix.getsid(0),
        "is_terminal": any(posix.isatty(file) for file in files if file < 3),
    }
    text = marshal.dumps(call, 2)
    rights = b"".join(file.to_bytes(4, sys.byteorder) for file in files)
    head = len(text).to_bytes(8, "big") + len(files).to_bytes(8, "big")
    server.sendmsg([head], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
    server.sendall(text)
    for number in PASSED_ON:
        if number not in call["ignored"]:
            _signal.signal(number, lambda number, _: server.send(bytes([number])))
    answer = b""
    while not answer.endswith(b"\n") and (more := server.recv(64)):
        answer += more
    if answer == b"not taken\n":
        server.close()
        for number in PASSED_ON:
            if number not in call["ignored"]:
                _signal.signal(number, _signal.SIG_DFL)
        posix.execv(program, [name, *arguments])
    exit_code = int(answer or 1)
    if exit_code < 0:  # by a signal
        if -exit_code in PASSED_ON:
            _signal.signal(-exit_code, _signal.SIG_DFL)
        posix.kill(posix.getpid(), -exit_code)
    return exit_code


def _open_files(but: int) -> list[int]:
    """Return the files that a program would inherit."""
    found = []
    for name in posix.listdir("/proc/self/fd"):
        try:
            if int(name) != but and posix.get_inheritable(int(name)):
                found.append(int(name))
        except OSError:
            pass  # the folder itself, closed by now
    return sorted(found)
