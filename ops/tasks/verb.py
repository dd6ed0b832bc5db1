"""What makes a function an invoke task: its options, their help and bounds, and how its errors end."""

import functools
import inspect
import signal
import sys
from collections.abc import Callable, Sequence

from invoke import Exit, task

from modeling.bounds import LARGEST_SEED
from modeling.plain_text import plain_lines
from ops.cloud.cloud import Cloud
from ops.environment import read_settings
from ops.failures import DryRunEnds, UserError
from ops.manifests import MOST_TASKS
from ops.names import MOST, MOST_SECONDS, without_slash
from ops.run_request import RunRequest
from ops.settings import Settings
from ops.shell import Shell, stop_on_termination
from ops.terminal import forget_output

ROWS = 20
EXP_ID = "experiment folder below experiments/, e.g. demo or flu/2026-w05"
RUN_ID = "a run to go on with, e.g. 20260131-120000-0a1b2c3d"
ONE_EXPERIMENT = "only this experiment's; all without it"
LIMIT = f"number of newest rows, or all; default {ROWS}"
STAGE = "builder, runner or output; A, B or C"
WAIT = "show progress until it ends, and fail if it fails"
YES = "do not ask"
DRY_RUN = "print what would be started, start nothing"
WHERE = {
    "local": "on this machine, whatever EXECUTION_MODE says",
    "cloud": "on Google Cloud, whatever EXECUTION_MODE says",
}

# the options that become a RunRequest: default, help
REQUEST: dict[str, tuple[object, str]] = {
    "exp_id": (inspect.Parameter.empty, EXP_ID),
    "run_id": ("", RUN_ID),
    "count": (None, "split a model-only ensemble into this many workloads"),
    "seed": (None, "root of every random draw; overrides the experiment's random_seed"),
    "jobs": (None, "tasks of stage B at once; default one a core"),
    "output_config_file": (
        "",
        "another output YAML: a path, or the name of a file in the experiment's config/",
    ),
    "allow_partial": (False, "write outputs although results are missing"),
    "force": (False, "make results again that exist already"),
    "docker": (False, "in containers of the local image instead of processes"),
}

# every option that takes a whole number: least, most. A task's own bounds are below its name.
NUMBERS: dict[str, tuple[int, int]] = {
    "apis_port": (1, 65535),
    "count": (1, MOST),
    "days": (0, 36_500),
    "fuzz.count": (2_000, MOST),  # one mutant a place at least
    "fuzz.seed": (0, 2**31 - 1),
    "hours": (1, 24 * 365),
    "jobs": (0, MOST),
    "limit": (1, MOST),
    "num_inputs": (1, MOST),
    "num_tasks": (1, MOST_TASKS),
    "seed": (0, LARGEST_SEED),
    "storage_port": (1, 65535),
    "task": (0, MOST),
    "task_index": (0, MOST),
    "task_seconds": (1, MOST_SECONDS),
}


def verb(
    positional: Sequence[str] = (),
    request: Sequence[str] = (),
    help: dict[str, str] | None = None,
    iterable: Sequence[str] = (),
) -> Callable:
    """Make a function an invoke task; an error that the operator can fix becomes one line and an exit code.

    Whole numbers arrive as numbers. Invoke must not choose letters such as -e, which would mean another
    option in each task, and must not look for --exp-id itself: it would end with exit code 1 without it.

    Parameters
    ----------
    request : sequence of str
        Names in REQUEST. The task takes these options, and the function a `request` instead of them.
    iterable : sequence of str
        Options that may be repeated; the function takes a list.
    """

    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def guarded(*args, **options):
            stop_on_termination()
            try:
                _refuse_missing_value(iterable)
                found = function(*args, **_checked(function.__name__, options, request))
                sys.stdout.flush()
                return found
            except DryRunEnds:
                return None
            except UserError as error:
                raise Exit(f"error: {plain_lines(error)}", code=error.exit_code) from None
            except KeyboardInterrupt:
                raise Exit(code=130) from None
            except BrokenPipeError:  # `invoke status | head -3` has seen enough
                forget_output()
                raise Exit(code=128 + signal.SIGPIPE) from None

        guarded.__signature__ = _signature(function, request)
        texts = {name: REQUEST[name][1] for name in request} | (help or {})
        return task(positional=positional, iterable=iterable, auto_shortflags=False, help=texts)(guarded)

    return decorate


def the_cloud(
    dry_run: bool, settings: Settings | None = None, needs_bucket: bool = True, instead: str = ""
) -> Cloud:
    """Return the cloud that the settings name; refuse if they do not name one. Options as Cloud.of()."""
    return Cloud.of(Shell(dry_run), settings or read_settings(), needs_bucket=needs_bucket, instead=instead)


def mode(local: bool, cloud: bool) -> str | None:
    """Return the execution mode that was asked for; None leaves it to the settings."""
    if local and cloud:
        raise UserError("--local and --cloud: choose one")
    return "local" if local else "cloud" if cloud else None


def option(name: str) -> str:
    """Return how an option is written: --task-index."""
    return f"--{name.replace('_', '-')}"


def whole_number(option: str, text: object, least: int, most: int) -> int | None:
    """Return the number of an option; invoke hands over text, and would end in a traceback itself."""
    if text is None:
        return None
    digits = str(text)
    known = digits.isascii() and digits.isdecimal() and len(digits) <= len(str(most))
    if not known or not least <= int(digits) <= most:
        raise UserError(f"{option} {digits:.40}: a whole number is needed, from {least} to {most}")
    return int(digits)


def _refuse_missing_value(repeatable: Sequence[str]) -> None:
    """Refuse a last option without a value, which invoke would ignore if the option may be repeated."""
    if sys.argv[-1] in map(option, repeatable):
        raise UserError(f"{sys.argv[-1]}: a value is missing")


def _checked(task_name: str, options: dict[str, object], request: Sequence[str]) -> dict[str, object]:
    checked = {name: _value(task_name, name, value) for name, value in options.items()}
    if request:
        checked["request"] = RunRequest(**{name: checked.pop(name) for name in request if name in checked})
    return checked


def _value(task_name: str, name: str, value: object) -> object:
    if name == "exp_id":
        return without_slash(value)
    if name == "limit" and value == "all":
        return None
    bounds = NUMBERS.get(f"{task_name}.{name}") or NUMBERS.get(name)
    return whole_number(option(name), value, *bounds) if bounds else value


def _signature(function: Callable, request: Sequence[str]) -> inspect.Signature:
    """Return the options of a task for invoke: those of the request where the function takes `request`."""
    options = {
        name: inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=REQUEST[name][0])
        for name in request
    }
    own = [each for each in inspect.signature(function).parameters.values() if each.name != "request"]
    context, *rest = own
    required = [each for each in rest if each.default is inspect.Parameter.empty]
    others = [each for each in rest if each.default is not inspect.Parameter.empty]
    listed = [*required, *options.values(), *others]
    listed.sort(key=lambda each: each.default is not inspect.Parameter.empty)
    return inspect.Signature([context, *listed])
