"""The arguments of `python -m localcloud`: state folder, ports, and how tasks and builds run."""

import argparse
import re
import shlex
from pathlib import Path

from localcloud.batch.service import MODES, BatchSettings
from localcloud.cloud import CloudOptions
from localcloud.members import OWNER, can_ask, written
from localcloud.run.instance import SERVICES
from localcloud.run.instances import IDLE_SECONDS
from localcloud.times import Clock

LAST_PORT = 65535


def parse_arguments(description: str) -> argparse.Namespace:
    """Return the arguments, with `options` as the CloudOptions they describe."""
    parser = argparse.ArgumentParser("python -m localcloud", description=description)
    parser.add_argument(
        "--state", type=Path, required=True, help="folder for all state; created if it does not exist"
    )
    parser.add_argument("--storage-port", type=_port, default=0, help="port of storage; 0: any free port")
    parser.add_argument(
        "--apis-port", type=_port, default=0, help="port of all other services; 0: any free port"
    )
    parser.add_argument(
        "--with-parent", type=int, metavar="PID", help="stop when this parent process has ended"
    )
    parser.add_argument(
        "--exports",
        metavar="PROJECT",
        help="print shell variables for this cloud and project instead of a line of JSON",
    )
    parser.add_argument(
        "--exports-as",
        default=OWNER,
        type=_member,
        metavar="MEMBER",
        help="with --exports: whose shell it is, as user:EMAIL; default the project's owner",
    )
    parser.add_argument(
        "--export",
        action="append",
        default=[],
        type=_variable,
        metavar="NAME=VALUE",
        help="with --exports: a further variable for the shell",
    )
    parser.add_argument(
        "--rights-of",
        default="",
        metavar="PROJECT",
        help="enforce the policies of this project; without it, everybody may do everything",
    )
    parser.add_argument(
        "--iam-delay",
        dest="iam_delay_seconds",
        type=_not_negative,
        default=0.0,
        metavar="S",
        help="with --rights-of: seconds of the services' clock until a changed policy counts; "
        "on the service typically 120, and 420 or more may pass",
    )
    parser.add_argument("--show-steps", action="store_true", help="print the steps of workflows as they run")
    parser.add_argument(
        "--clock-speed",
        type=_speed,
        default=1.0,
        metavar="N",
        help="speed of the services' clock: at 60, a sleep of a minute takes a second; "
        "tasks that do work run in real time",
    )
    parser.add_argument(
        "--terraform",
        type=Path,
        metavar="FILE",
        help="Terraform CLI configuration that names a mirror of providers: "
        "Infrastructure Manager then plans blueprints with the terraform that is installed",
    )
    parser.add_argument(
        "--idle-seconds",
        type=_not_negative,
        default=IDLE_SECONDS,
        metavar="S",
        help="seconds of the services' clock after which an idle instance of Cloud Run is stopped",
    )
    parser.add_argument(
        "--service",
        type=shlex.split,
        default=SERVICES,
        metavar="COMMAND",
        help="command of an instance of Cloud Run, in place of this repository's services",
    )
    _add_batch(parser.add_argument_group("tasks of Cloud Batch"))
    _add_build(parser.add_argument_group("Cloud Build"))
    arguments = parser.parse_args()
    if arguments.iam_delay_seconds and not arguments.rights_of:
        parser.error("--iam-delay: only with --rights-of PROJECT, since nobody is denied anything without it")
    arguments.options = _options(arguments)
    return arguments


def _add_batch(group: argparse._ArgumentGroup) -> None:
    defaults = BatchSettings()
    group.add_argument("--tasks", choices=MODES, default=defaults.mode, help="how a task is run")
    group.add_argument(
        "--slots",
        type=_at_least_one,
        default=defaults.slots,
        help="tasks that run at once; default: one per core",
    )
    group.add_argument(
        "--scripts",
        type=Path,
        default=defaults.scripts,
        help="folder that replaces the image's /scripts where tasks are processes",
    )
    group.add_argument(
        "--image",
        action="append",
        default=[],
        type=_image,
        metavar="NAME=TAG",
        help="local tag of an image; NAME is its name in the registry, with or without a tag",
    )
    group.add_argument(
        "--queue-seconds",
        type=_not_negative,
        default=defaults.queue_seconds,
        help="seconds of the services' clock that a job is QUEUED, and again SCHEDULED",
    )


def _add_build(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--builds",
        choices=("run", "queue"),
        default="run",
        help="run the steps of builds with this machine's Docker engine, or leave builds in the queue",
    )
    group.add_argument(
        "--builder",
        nargs=2,
        action="append",
        default=[],
        metavar=("IMAGE", "COMMAND"),
        help="command that replaces a builder's image, such as an installed tool",
    )


def _options(arguments: argparse.Namespace) -> CloudOptions:
    return CloudOptions(
        storage_port=arguments.storage_port,
        apis_port=arguments.apis_port,
        clock_speed=arguments.clock_speed,
        batch=BatchSettings(
            mode=arguments.tasks,
            slots=arguments.slots,
            scripts=arguments.scripts.resolve(),
            images=dict(arguments.image),
            queue_seconds=arguments.queue_seconds,
        ),
        runs_builds=arguments.builds == "run",
        builders={image: shlex.split(command) for image, command in arguments.builder},
        idle_seconds=arguments.idle_seconds,
        service=arguments.service,
        terraform=arguments.terraform and arguments.terraform.resolve(),
        shows_steps=arguments.show_steps,
        rights_of=arguments.rights_of,
        iam_delay_seconds=arguments.iam_delay_seconds,
    )


def _member(text: str) -> str:
    member = written(text) if can_ask(text) else ""
    if not member:
        raise argparse.ArgumentTypeError(f"{text}: use user:EMAIL or serviceAccount:EMAIL")
    return member


def _variable(text: str) -> tuple[str, str]:
    name, is_there, value = text.partition("=")
    if not is_there or not re.fullmatch(r"[A-Z][A-Z_]*", name):
        raise argparse.ArgumentTypeError(f"{text}: use NAME=VALUE, the name in capital letters")
    return name, value


def _speed(text: str) -> float:
    try:
        return Clock(float(text)).speed
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _port(text: str) -> int:
    if not 0 <= int(text) <= LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to {LAST_PORT}")
    return int(text)


def _image(text: str) -> tuple[str, str]:
    name, _, tag = text.partition("=")
    if not name or not tag:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=TAG")
    return name, tag


def _at_least_one(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return int(text)


def _not_negative(text: str) -> float:
    if not float(text) >= 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return float(text)
