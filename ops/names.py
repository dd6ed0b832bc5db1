"""What an experiment, a run and a prefix may be called, so that no name leads out of the bucket.

The stages check the same in scripts/pipeline/environment.py, which ops/ does not import.
"""

import re

from ops.failures import UserError

EXP_ID = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")
EXP_ID_LENGTH = 128
MOST = 10**18 - 1  # of a whole number
RUN_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{8}")


def check_exp_id(exp_id: str | None) -> None:
    """Refuse what is no experiment's folder below experiments/."""
    if not exp_id:
        raise UserError("--exp-id is needed: the experiment's folder below experiments/, e.g. --exp-id demo")
    if len(exp_id) > EXP_ID_LENGTH:
        raise UserError(f"--exp-id: {len(exp_id)} characters; {EXP_ID_LENGTH} at most")
    if not is_exp_id(exp_id):
        raise UserError(f'--exp-id "{exp_id}": letters, digits, . _ - with / for grouping, and no ..')
    _, path, name = f"/{exp_id}".rpartition("/experiments/")
    if path:
        raise UserError(f'--exp-id "{exp_id}": write {name}, the folder below experiments/')


def is_exp_id(text: str) -> bool:
    """Tell whether a path below the bucket may be an experiment's."""
    dots = any(set(part) == {"."} for part in text.split("/")) or ".." in text
    return bool(EXP_ID.fullmatch(text)) and not dots and len(text) <= EXP_ID_LENGTH


def without_slash(exp_id: str | None) -> str:
    """Return an experiment's name without the / that a shell completes; a lone / stays, and is refused."""
    return re.sub(r"(?<=.)/$", "", exp_id or "")


def check_run_id(run_id: str) -> None:
    """Refuse what is no run id."""
    if not RUN_ID.fullmatch(run_id):
        raise UserError(f'--run-id "{run_id}": a run id looks like 20260131-120000-0a1b2c3d')


def folder_prefix(text: str) -> str:
    """Return DIR_PREFIX as a path inside the bucket that ends with /, or an empty string.

    Raises
    ------
    ValueError
        A part of it is empty, . or ..
    """
    if not text:
        return ""
    parts = text.rstrip("/").split("/")
    if {"", ".", ".."} & set(parts) or "\\" in text:
        raise ValueError("a path inside the bucket, such as flu/2026/, without . or .. or an empty part")
    return "/".join(parts) + "/"
