"""JSON files of a run beside its results, checked for the stages and the operator's commands.

Summaries, headline.json, files.json and run_metadata.json describe a run. No result depends on them, so a
damaged one is left out with a warning; this module decides which are damaged.
"""

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from modeling.bounds import LARGEST_NUMBER
from modeling.plain_text import is_unicode
from modeling.reference_dates import is_reference_date

MOST_BYTES = 64 << 20  # files.json of a run with 100,000 charts has some 20 MB
MOST_SUMMARY_BYTES = 4 << 20
MOST_DEPTH = 30
MOST_WHOLE_NUMBER = 2**64  # seeds are below 2^63
MOST_ATTEMPTS = 1_000_000

Check = Callable[[Any], bool]


def parse_json(data: bytes | str, most_bytes: int = MOST_BYTES) -> Any:
    """Return the value of a JSON text.

    Raises
    ------
    ValueError
        The text is not JSON or too large; the message is a short reason.
    """
    if len(data) > most_bytes:
        raise ValueError(f"larger than {most_bytes:,} bytes")
    try:
        found = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("not text in UTF-8") from None
    except ValueError as error:
        raise ValueError(f"not JSON: {str(error)[:100]}") from None
    return check_json(found)


def check_json(found: Any) -> Any:
    """Return a JSON value, checked.

    Raises
    ------
    ValueError
        It is nested too deeply, or has a number too large for arithmetic or text that cannot be encoded.
    """
    level, depth = [found], 0
    while level:
        if depth > MOST_DEPTH:
            raise ValueError("nested too deeply")
        inner: list[Any] = []
        for value in level:
            if type(value) is dict:
                inner += [*value.keys(), *value.values()]
            elif type(value) is list:
                inner += value
            elif not _is_usable(value):
                raise ValueError(f"{ascii(value)[:30]} cannot be used")
        level, depth = inner, depth + 1
    return found


def _is_usable(value: Any) -> bool:
    if type(value) is float:
        return abs(value) <= LARGEST_NUMBER
    if type(value) is int:
        return abs(value) <= MOST_WHOLE_NUMBER
    return type(value) is not str or is_unicode(value)


def check_summary(found: Any) -> dict[str, Any]:
    """Return the summary of a task, checked; ValueError if a field has a wrong type or value."""
    return _checked(found, _SUMMARY, "a summary")


def check_headline(found: Any) -> dict[str, Any]:
    """Return headline.json, checked; ValueError as check_summary."""
    return _checked(found, _HEADLINE, "a headline")


def check_metadata(found: Any) -> dict[str, Any]:
    """Return run_metadata.json, checked; ValueError as check_summary."""
    return _checked(found, _METADATA, "the metadata of a run", required=("manifest", "stages"))


def check_output_list(found: Any) -> list[dict[str, Any]]:
    """Return files.json, checked: files with name, bytes and sha256; ValueError as check_summary."""
    if type(found) is not list:
        raise ValueError("not a list of files")
    for each in found:
        _checked(each, _FILE, "a list of files", required=tuple(_FILE))
    if len({each["name"] for each in found}) != len(found):
        raise ValueError("not a list of files: duplicate name")
    return found


def _checked(
    found: Any, shape: dict[str, Check], what: str, required: tuple[str, ...] = ()
) -> dict[str, Any]:
    if type(found) is not dict:
        raise ValueError(f"not {what}")
    for name in required:
        if name not in found:
            raise ValueError(f"not {what}: {name} is missing")
    for name, is_right in shape.items():
        if name in found and not is_right(found[name]):
            raise ValueError(f"not {what}: {name} is {ascii(found[name])[:40]}")
    return found


def _is_text(value: Any) -> bool:
    return type(value) is str


def _is_flag(value: Any) -> bool:
    return type(value) is bool


def _is_real(value: Any) -> bool:
    return type(value) in (int, float)


def _is_amount(value: Any) -> bool:
    return _is_real(value) and 0 <= value <= LARGEST_NUMBER


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_count_or_none(value: Any) -> bool:
    return value is None or _is_count(value)


def _is_attempt(value: Any) -> bool:
    return _is_count(value) and value <= MOST_ATTEMPTS


def _is_moment(value: Any) -> bool:
    """Return whether a value is a time such as 2026-01-31T12:00:00Z."""
    if type(value) is not str or not re.fullmatch(r"[12]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value):
        return False
    try:
        return datetime.fromisoformat(value).year >= 1970
    except ValueError:
        return False


def _is_digest(value: Any) -> bool:
    return type(value) is str and re.fullmatch("[0-9a-f]{64}", value) is not None


def is_file_name(value: Any) -> bool:
    """Return whether a value is the name of a file inside its folder."""
    if type(value) is not str or not value.isprintable() or "\\" in value or value.startswith("/"):
        return False
    path = PurePosixPath(value)
    return value == path.as_posix() and bool(path.name) and ".." not in path.parts


def _list_of(check: Check) -> Check:
    return lambda value: type(value) is list and all(map(check, value))


def _dict_of(check: Check) -> Check:
    return lambda value: type(value) is dict and all(map(check, value.values()))


def _with(shape: dict[str, Check]) -> Check:
    """Return a check of a mapping: each field of the shape that is present must be right."""
    return lambda value: (
        type(value) is dict
        and all(is_right(value[name]) for name, is_right in shape.items() if name in value)
    )


def _is_plain(value: Any) -> bool:
    return value is None or type(value) in (str, int, float, bool)


_MACHINE: dict[str, Check] = {"job": _is_text, "prices_as_of": _is_text}
_ATTEMPT: dict[str, Check] = {
    "started_at": _is_moment,
    "wall_seconds": _is_amount,
    "cpu_seconds": _is_amount,
    "peak_memory_mib": _is_amount,
    "retry_attempt": _is_attempt,
    "batch_task_index": _is_count_or_none,
    "status": _is_text,
    "setup": lambda value: _dict_of(_is_plain)(value) and _with(_MACHINE)(value),
}
_SUMMARY: dict[str, Check] = _ATTEMPT | {
    "task_index": _is_count_or_none,
    "earlier": _list_of(_with(_ATTEMPT)),
    "simulations": _is_count,
    "trajectories": _is_count,
    "error": _is_text,
    "stopped_by": _is_text,
    "engine": _is_text,
    "threads": _is_count,
    "population": _is_text,
    "input": _is_text,
    "cpu": _is_text,
    "image": _is_text,
    "warnings": _list_of(_is_text),
}
_ROW: dict[str, Check] = {
    **dict.fromkeys(("population", "series", "date", "note"), _is_text),
    **dict.fromkeys(("low", "median", "high"), _is_real),
}
_HEADLINE: dict[str, Check] = {
    "headline": _list_of(lambda row: _with(_ROW)(row) and row.keys() >= _ROW.keys()),
    "reference_date": is_reference_date,
    "left_out_populations": _is_count,
    "left_out_dates": _is_count,
    "missing": _list_of(_is_count),
    "missing_inputs": _list_of(_with({"index": _is_count, "name": _is_text, "reason": _is_text})),
}
_FILE: dict[str, Check] = {"name": is_file_name, "bytes": _is_count, "sha256": _is_digest}
_ARGUMENTS: dict[str, Check] = {
    "count": _is_count_or_none,
    "seed": _is_count_or_none,
    "reference_date": is_reference_date,
    "strict": _is_flag,
    "suite": _is_text,
    "engine": _is_text,
    "output_config_file": _is_text,
    "allow_partial": _is_flag,
}
_STAGE_USE: dict[str, Check] = {
    **dict.fromkeys(("tasks", "tries", "retries", "done", "failed", "simulations"), _is_count),
    **dict.fromkeys(("wall_seconds", "done_seconds", "longest_seconds", "elapsed_seconds"), _is_amount),
    **dict.fromkeys(("cpu_seconds", "done_cpu_seconds", "peak_memory_mib"), _is_amount),
}
_KIND: dict[str, Check] = {
    **dict.fromkeys(("machine_type", "provisioning_model"), _is_text),
    **dict.fromkeys(("tasks", "cpu_milli", "memory_mib", "tasks_per_machine", "max_run_seconds"), _is_amount),
}


def _is_machines(value: Any) -> bool:
    """Return whether a value is the machines of a stage: a list of kinds, or an older version's mapping."""
    return type(value) is dict or _list_of(lambda kind: _dict_of(_is_plain)(kind) and _with(_KIND)(kind))(
        value
    )


_METADATA: dict[str, Check] = {
    "manifest": _with({"exp_id": _is_text, "num_workloads": _is_count, **_ARGUMENTS}),
    "arguments": _with(_ARGUMENTS),
    **dict.fromkeys(("image_uri", "python", "outputs"), _is_text),
    **dict.fromkeys(("commits", "packages"), _dict_of(_is_text)),
    **dict.fromkeys(("cpus", "images", "cut_short", "warnings"), _list_of(_is_text)),
    "machines": _dict_of(_is_machines),
    "stages": _dict_of(_with(_STAGE_USE)),
    "estimated_cost": _with({"total_usd": _is_amount}),
    "num_missing": _is_count,
}
