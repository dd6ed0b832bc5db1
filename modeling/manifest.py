"""The fields of manifest.json and their values, checked for the stages and the operator's commands.

scripts/pipeline/manifest.py writes the manifest and reads all of it. ops/manifests.py reads the fields that
commands use, also from manifests of older versions, which have fewer.
"""

import re
from collections.abc import Callable
from typing import Any

from modeling.bounds import MOST_WORKLOADS
from modeling.reference_dates import is_reference_date
from modeling.run_names import ENGINES, PENDING_FILE, SUITES, is_exp_id, is_run_id


def _matching(pattern: str) -> Callable[[Any], bool]:
    return lambda value: type(value) is str and re.fullmatch(pattern, value) is not None


def _named(is_right: Callable[[str], bool]) -> Callable[[Any], bool]:
    return lambda value: type(value) is str and is_right(value)


def _whole(least: int, most: int = 2**64) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _or_none(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or is_right(value)


_TEXT = _matching("[^\\n]{0,1000}")
_DIGEST_OR_NONE = _matching("([0-9a-f]{64})?")
_FIELDS: dict[str, Callable[[Any], bool]] = {
    "exp_id": _named(is_exp_id),
    "run_id": _named(is_run_id),
    "suite": lambda value: value in SUITES,
    "engine": lambda value: value in ENGINES,
    **dict.fromkeys(("workflow", "created_at", "output_config_file", "forecast_commit"), _TEXT),
    "seed": _or_none(_whole(0)),
    "num_workloads": _whole(1, MOST_WORKLOADS),
    "num_pending": _whole(0, MOST_WORKLOADS),
    "workloads_per_task": _whole(1),
    "inputs_sha256": _matching("[0-9a-f]{64}"),
    "input_list_sha256": _DIGEST_OR_NONE,
    "count": _or_none(_whole(1)),
    "reference_date": is_reference_date,
    "strict": lambda value: type(value) is bool,
    "forecast_sha256": _DIGEST_OR_NONE,
    "pending": _named(lambda name: not name or PENDING_FILE.fullmatch(name) is not None),
    "format": _whole(0),
}


def check_manifest(found: Any, *needed: str) -> None:
    """Refuse what is not a manifest.

    Parameters
    ----------
    found : object
        The value of the JSON file.
    needed : str
        Fields that must be there. Others may be missing.

    Raises
    ------
    ValueError
        The reason; "" if it is no manifest at all.
    """
    if type(found) is not dict:
        raise ValueError
    for name, is_right in _FIELDS.items():
        if name in found and not is_right(found[name]):
            raise ValueError(f"{name} is {ascii(found[name])[:40]}")
        if name in needed and name not in found:
            raise ValueError(f"{name} is missing")
    total = found.get("num_workloads")
    if total is not None and found.get("num_pending", 0) > total:
        raise ValueError(f"num_pending is {found['num_pending']} of {total}")
