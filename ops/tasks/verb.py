"""Make functions invoke tasks: their options with help and bounds, and exit codes for errors."""

import functools
import inspect
import signal
import sys
from collections.abc import Callable, Mapping, Sequence

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
RUN_ID = "a run to resume, e.g. 20260131-120000-0a1b2c3d"
ONE_EXPERIMENT = "only this experiment; default all"
LIMIT = f"number of newest rows, or all; default {ROWS}"
STAGE = "builder, runner or output (or A, B, C)"
WAIT = "show progress until it ends, and fail if it fails"
YES = "do not ask for confirmation"
DRY_RUN = "print the commands that would run, and run none"
OUT = "also write the plan to this file, as JSON, for `invoke rehearse --rights`; it has your settings"
WHERE = {
    "local": "run on this machine; overrides EXECUTION_MODE",
    "cloud": "run on Google Cloud; overrides EXECUTION_MODE",
}

# the options that become a RunRequest: default, help
REQUEST: dict[str, tuple[object, str]] = {
    "exp_id": (inspect.Parameter.empty, EXP_ID),
    "run_id": ("", RUN_ID),
    "count": (None, "split a model-only ensemble into this many workloads"),
    "seed": (None, "seed of every random draw; overrides the experiment's random_seed"),
    "reference_date": (
        "",
        "Saturday of a forecast from surveillance data, e.g. 2026-01-10; it uses only what was known then",
    ),
    "strict": (False, "fail such a forecast if a location is left out, or has a fault in its data"),
    "jobs": (None, "tasks of stage B at once; default one per core"),
    "output_config_file": (
        "",
        "another output YAML: a path, or the name of a file in the experiment's config/",
    ),
    "allow_partial": (False, "write outputs even if results are missing"),
    "force": (False, "compute existing results again"),
    "docker": (False, "run in containers of the local image instead of processes"),
}

# Every option that takes a whole number: least, most. `fuzz.count` is --count of `invoke fuzz` alone. The
# default of such an option is a number or None. An option that is not here arrives as text.
NUMBERS: dict[str, tuple[int, int]] = {
    "apis_port": (1, 65535),
    "count": (1, MOST),
    "days": (0, 36_500),
    "fuzz.count": (2_000, MOST),  # at least one mutant for each kind of place
    "fuzz.seed": (0, 2**31 - 1),
    "hours": (1, 24 * 365),
    "iam_delay": (0, 36_000),
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
    optional: Sequence[str] = (),
    defaults: Mapping[str, str] | None = None,
) -> Callable:
    """Make a function an invoke task; an error that the operator can fix becomes one line and an exit code.

    Whole numbers arrive as numbers. Invoke chooses no short flags such as -e, which would mean another option
    in each task.

    Parameters
    ----------
    request : sequence of str
        Names in REQUEST. The task takes these options, and the function a `request` instead of them.
    iterable : sequence of str
        Options that may be repeated; the function takes a list.
    optional : sequence of str
        Options whose value may be left out; the function then takes True.
    defaults : mapping
        Defaults of options of the request, where they are not those of REQUEST.
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
            except BrokenPipeError:  # e.g. `invoke status | head -3`
                forget_output()
                raise Exit(code=128 + signal.SIGPIPE) from None

        guarded.__signature__ = _signature(function, request, defaults or {})
        texts = {name: REQUEST[name][1] for name in request} | (help or {})
        options = {"positional": positional, "iterable": iterable, "optional": optional}
        return task(**options, auto_shortflags=False, help=texts)(guarded)

    return decorate


def the_cloud(
    dry_run: bool, settings: Settings | None = None, needs_bucket: bool = True, instead: str = ""
) -> Cloud:
    """Return the cloud that the settings name; options and errors as Cloud.of()."""
    return Cloud.of(Shell(dry_run), settings or read_settings(), needs_bucket=needs_bucket, instead=instead)


def mode(local: bool, cloud: bool) -> str | None:
    """Return the execution mode chosen by --local or --cloud; None without either."""
    if local and cloud:
        raise UserError("--local and --cloud: choose one")
    return "local" if local else "cloud" if cloud else None


def option(name: str) -> str:
    """Return an option as it is typed, e.g. --task-index."""
    return f"--{name.replace('_', '-')}"


def whole_number(option: str, text: object, least: int, most: int) -> int | None:
    """Return the number of an option, which invoke passes as text."""
    if text is None:
        return None
    digits = str(text)
    is_whole = digits.isascii() and digits.isdecimal() and len(digits) <= len(str(most))
    if not is_whole or not least <= int(digits) <= most:
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
    bounds = _bounds(task_name, name)
    return whole_number(option(name), value, *bounds) if bounds else value


def _bounds(task_name: str, name: str) -> tuple[int, int] | None:
    return NUMBERS.get(f"{task_name}.{name}") or NUMBERS.get(name)


def _with_text_default(task_name: str, each: inspect.Parameter) -> inspect.Parameter:
    """Return an option whose default is text, so that invoke does not convert a number itself.

    Raises
    ------
    TypeError
        Its default is a number, and it has no bounds.
    """
    if type(each.default) is not int:
        return each
    if not _bounds(task_name, each.name):
        raise TypeError(
            f"{task_name}: {option(each.name)} has a number as default; add its bounds to NUMBERS of verb.py"
        )
    return each.replace(default=str(each.default))


def _signature(function: Callable, request: Sequence[str], defaults: Mapping[str, str]) -> inspect.Signature:
    """Return the options of a task for invoke: those of the request in place of `request`."""
    options = {
        name: inspect.Parameter(
            name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=defaults.get(name, REQUEST[name][0])
        )
        for name in request
    }
    own = [each for each in inspect.signature(function).parameters.values() if each.name != "request"]
    context, *rest = (_with_text_default(function.__name__, each) for each in own)
    required_first = sorted(
        [*rest, *options.values()], key=lambda each: each.default is not inspect.Parameter.empty
    )
    return inspect.Signature([context, *required_first])
