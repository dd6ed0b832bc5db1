"""`python -m localcloud --state DIR`: start the emulator, say where it listens, run till told.

Prints one line of JSON when ready: {"storage": "http://127.0.0.1:PORT", "apis": "http://127.0.0.1:PORT"}.
"""

import argparse
import fcntl
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from localcloud.batch.service import MODES, BatchSettings
from localcloud.cloud import start_cloud

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
        with start_cloud(
            arguments.state,
            arguments.storage_port,
            arguments.apis_port,
            _batch_settings(arguments),
            arguments.clock_speed,
        ) as addresses:
            print(json.dumps(addresses), flush=True)
            # What storage has answered is on disk; tasks of Batch are killed when the block ends.
            stop.wait()
    return 0


def _stop_with_parent(parent: int, stop: threading.Event) -> None:
    """A parent that is killed says nothing; its orphan is given another parent."""

    def watch():
        while os.getppid() == parent:
            time.sleep(PARENT_POLL_SECONDS)
        stop.set()

    threading.Thread(target=watch, daemon=True).start()


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m localcloud", description=__doc__)
    parser.add_argument(
        "--state", type=Path, required=True, help="folder that keeps everything, made if need be"
    )
    parser.add_argument("--storage-port", type=int, default=0, help="of storage; 0 takes a free one")
    parser.add_argument("--apis-port", type=int, default=0, help="of all other services; 0 takes a free one")
    parser.add_argument(
        "--with-parent", type=int, metavar="PID", help="stop when this parent process is gone"
    )
    parser.add_argument(
        "--clock-speed",
        type=_positive,
        default=1.0,
        metavar="FACTOR",
        help="how much faster than ours the clock of the services goes; tasks that do work keep ours",
    )
    _add_batch_arguments(parser.add_argument_group("tasks of Cloud Batch"))
    return parser.parse_args()


def _add_batch_arguments(group: argparse._ArgumentGroup) -> None:
    defaults = BatchSettings()
    group.add_argument("--tasks", choices=MODES, default=defaults.mode, help="what a task is")
    group.add_argument(
        "--slots", type=_at_least_one, default=defaults.slots, help="tasks at once; default: one a core"
    )
    group.add_argument(
        "--scripts",
        type=Path,
        default=defaults.scripts,
        help="folder for the image's /scripts, for processes",
    )
    group.add_argument(
        "--image",
        action="append",
        default=[],
        type=_image,
        metavar="NAME=TAG",
        help="local tag of an image, which NAME calls as its registry does, with or without a tag",
    )
    group.add_argument(
        "--queue-seconds",
        type=_not_negative,
        default=defaults.queue_seconds,
        help="a job is QUEUED, and then SCHEDULED, for so long by the clock of the services",
    )


def _batch_settings(arguments: argparse.Namespace) -> BatchSettings:
    return BatchSettings(
        mode=arguments.tasks,
        slots=arguments.slots,
        scripts=arguments.scripts.resolve(),
        images=dict(arguments.image),
        queue_seconds=arguments.queue_seconds,
    )


def _image(text: str) -> tuple[str, str]:
    name, _, tag = text.partition("=")
    if not name or not tag:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=TAG")
    return name, tag


def _at_least_one(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return int(text)


def _positive(text: str) -> float:
    if not float(text) > 0:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return float(text)


def _not_negative(text: str) -> float:
    if not float(text) >= 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return float(text)


if __name__ == "__main__":
    sys.exit(main())
