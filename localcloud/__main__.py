"""`python -m localcloud --state DIR`: start the emulator, say where it listens, run till told.

Prints one line of JSON when ready: {"storage": "http://127.0.0.1:PORT", "apis": "http://127.0.0.1:PORT"}.
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
from pathlib import Path

from localcloud.cloud import CloudOptions, start_cloud
from localcloud.workflows.clock import Clock

PARENT_POLL_SECONDS = 0.2


def main() -> int:
    arguments = _parse_arguments()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if arguments.with_parent:
        _stop_with_parent(arguments.with_parent, stop)

    arguments.state.mkdir(parents=True, exist_ok=True)
    with open(arguments.state / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"localcloud: {arguments.state} is in use by another one", file=sys.stderr)
            return 2
        with start_cloud(arguments.state, _options(arguments)) as addresses:
            print(json.dumps(addresses), flush=True)
            # What storage has answered is on disk, a stop is as good as a crash.
            stop.wait()
    return 0


def _stop_with_parent(parent: int, stop: threading.Event) -> None:
    """A parent that is killed says nothing; its orphan is given another parent."""

    def watch():
        while os.getppid() == parent:
            time.sleep(PARENT_POLL_SECONDS)
        stop.set()

    threading.Thread(target=watch, daemon=True).start()


def _options(arguments: argparse.Namespace) -> CloudOptions:
    return CloudOptions(
        storage_port=arguments.storage_port,
        clock_speed=arguments.clock_speed,
        apis_port=arguments.apis_port,
        runs_builds=arguments.builds == "run",
        builders={image: shlex.split(command) for image, command in arguments.builder},
    )


def _speed(text: str) -> float:
    try:
        return Clock(float(text)).speed
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m localcloud", description=__doc__)
    parser.add_argument(
        "--state", type=Path, required=True, help="folder that keeps everything, made if need be"
    )
    parser.add_argument("--storage-port", type=int, default=0, help="of storage; 0 takes a free one")
    parser.add_argument("--apis-port", type=int, default=0, help="of all other services; 0 takes a free one")
    parser.add_argument(
        "--clock-speed",
        type=_speed,
        default=1.0,
        metavar="N",
        help="how much faster time goes for the services: 60 makes a minute's sleep take a second; "
        "tasks that do work keep our time",
    )
    parser.add_argument(
        "--builds",
        choices=("run", "queue"),
        default="run",
        help="run the steps of builds through this machine's Docker engine, or leave builds in the queue",
    )
    parser.add_argument(
        "--builder",
        nargs=2,
        action="append",
        default=[],
        metavar=("IMAGE", "COMMAND"),
        help="a command that does what a builder's image does, e.g. a tool that is installed here",
    )
    parser.add_argument(
        "--with-parent", type=int, metavar="PID", help="stop when this parent process is gone"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
