"""Start an emulated Google Cloud on 127.0.0.1, print its addresses, and run until it is stopped.

When it is ready it prints one line of JSON: {"storage": "http://127.0.0.1:PORT", "apis":
"http://127.0.0.1:PORT"}; with --exports it prints the variables for a shell instead.
"""

import argparse
import fcntl
import json
import os
import shlex
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

from localcloud.arguments import parse_arguments
from localcloud.child import CannotStart
from localcloud.cloud import start_cloud
from localcloud.environment import client_environment
from localcloud.members import OWNER

PARENT_POLL_SECONDS = 0.2
DOOR_SECONDS = 10  # to open one in this process


def main() -> int:
    arguments = parse_arguments(__doc__)
    # An Event would not do: a signal while wait() holds its lock would have set() wait for that lock forever.
    stop: SimpleQueue[None] = SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.put(None))
    if arguments.with_parent:
        _stop_with_parent(arguments.with_parent, stop)

    try:
        with _alone(arguments.state), start_cloud(arguments.state, arguments.options) as addresses:
            _print_addresses(arguments, addresses)
            # Whatever storage has confirmed is on disk; tasks and builds are killed when the block ends.
            stop.get()
    except CannotStart as error:
        print(f"localcloud: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"localcloud: {error.filename or arguments.state}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Lock a state folder against other emulators; create it if it does not exist."""
    state.mkdir(parents=True, exist_ok=True)
    with open(state / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fix = f"stop it, or use it: source {state / 'exports'}"
            raise CannotStart(f"{state} is in use by another emulator; {fix}") from None
        try:
            yield
        finally:
            (state / "exports").unlink(missing_ok=True)  # the ports it names are closed now


def _print_addresses(arguments: argparse.Namespace, addresses: dict[str, str]) -> None:
    if not arguments.exports:
        print(json.dumps(addresses), flush=True)
        return
    state = arguments.state.absolute()
    member = arguments.exports_as
    door = addresses if member == OWNER else _door(addresses["apis"], member)
    variables = client_environment(**door, state=state, project=arguments.exports, member=member)
    variables |= dict(arguments.export)
    variables["PROJECT_ID"] = arguments.exports  # for `invoke`, which otherwise reads it from .env
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
    (state / "exports").write_text(exports)
    print(f"{exports}# in another shell: source {shlex.quote(str(state / 'exports'))}", flush=True)


def _door(apis: str, member: str) -> dict[str, str]:
    """Return the addresses of a member's door, which the emulator opens."""
    body = json.dumps({"member": member}).encode()
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with directly.open(urllib.request.Request(f"{apis}/_emulator/doors", body), timeout=DOOR_SECONDS) as said:
        return json.load(said)


def _stop_with_parent(parent: int, stop: SimpleQueue) -> None:
    """Stop when the parent is gone: even a parent that is killed leaves its child with another parent."""

    def watch():
        while os.getppid() == parent:
            time.sleep(PARENT_POLL_SECONDS)
        stop.put(None)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
