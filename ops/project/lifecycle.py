"""Rules by which the bucket cleans itself up: what can be made again goes after some days, forecasts never.

A rule matches names by how they begin and end. Runs lie below our prefix and their experiment, so what is
passed from stage to stage is known by its end, .pkl, and sources of builds by their beginning. The rules of
others are kept.
"""

import json
from typing import Any

from rich.table import Table

from ops import gcloud
from ops.cloud.checks import check_bucket
from ops.failures import UserError
from ops.settings import RENDERED, Settings, need
from ops.shell import Shell
from ops.terminal import confirmed, console, nearest, need_terminal_or

RULES = RENDERED / "lifecycle.json"
DEFAULT_DAYS = 90
SOURCES_DAYS = 30
MOST_CHARACTERS = 200  # of a rule that is shown as JSON
LEAST_DAYS = 17  # a job may wait for 2 days and then run for 14, and needs its inputs until then

Rule = dict[str, Any]


def set_rules(shell: Shell, settings: Settings, days: int = DEFAULT_DAYS, yes: bool = False) -> None:
    """Show the rules that are and that would be, ask, and set them; 0 days takes ours away.

    A dry run asks the bucket, too: without the rules of others its command would delete them.

    Raises
    ------
    UserError
        Too few days, or no such bucket.
    """
    need(settings, "project_id", "bucket_name")
    if 0 < days < LEAST_DAYS:
        raise UserError(
            f"--days {days}: {LEAST_DAYS} at least, for a job may wait for 2 days and run for 14; 0 for never"
        )
    if not shell.dry_run:
        need_terminal_or(yes)
    check_bucket(Shell(), settings)
    now = _rules_now(settings)
    new = [rule for rule in now if not _is_ours(settings, rule)] + (our_rules(settings, days) if days else [])
    if now == new:
        print(f"gs://{settings.bucket_name} has these rules already; nothing to change")
        return
    _show(settings, now, new)
    _set(shell, settings, new, yes)


def our_rules(settings: Settings, days: int) -> list[Rule]:
    """Return the rules for inputs and results of runs, and for sources of builds."""
    below = {"matchesPrefix": [settings.dir_prefix]} if settings.dir_prefix else {}
    sources = [f"{settings.dir_prefix}cloudbuild/"]
    return [
        _deletion({"age": days, **below, "matchesSuffix": [".pkl"]}),
        _deletion({"age": SOURCES_DAYS, "matchesPrefix": sources}),
    ]


def _deletion(condition: dict[str, Any]) -> Rule:
    return {"action": {"type": "Delete"}, "condition": condition}


def _is_ours(settings: Settings, rule: Rule) -> bool:
    """Tell a rule of this prefix by all of it but its age; rules have no names."""
    if not isinstance(rule, dict) or not isinstance(rule.get("condition"), dict):
        return False
    without_age = {**rule, "condition": {**rule["condition"], "age": 0}}
    return without_age in [
        {**ours, "condition": {**ours["condition"], "age": 0}} for ours in our_rules(settings, 0)
    ]


def _rules_now(settings: Settings) -> list[Rule]:
    words = ["storage", "buckets", "describe", f"gs://{settings.bucket_name}", "--raw"]
    found = gcloud.read_json(Shell(), [*words, "--project", settings.project_id], echo=False)
    lifecycle = (found.get("lifecycle") if isinstance(found, dict) else found) or {}
    rules = (lifecycle.get("rule") if isinstance(lifecycle, dict) else lifecycle) or []
    if not isinstance(rules, list):
        raise UserError(f"gs://{settings.bucket_name}: its lifecycle is not a list of rules", exit_code=1)
    return rules


def _show(settings: Settings, now: list[Rule], new: list[Rule]) -> None:
    table = Table(box=None, header_style="bold")
    for column in ("rule", "what", "after", "names"):
        table.add_column(column, overflow="fold")
    for rule in [*now, *(rule for rule in new if rule not in now)]:
        change = "stays" if rule in now and rule in new else "new" if rule in new else "goes"
        table.add_row(change, *_told(rule))
    console().print(f"rules of gs://{settings.bucket_name}:")
    console().print(table)
    if not settings.dir_prefix and any(rule in new for rule in our_rules(settings, DEFAULT_DAYS)):
        print(
            "note: without DIR_PREFIX the first holds for every .pkl in the bucket, also of others",
            flush=True,
        )


def _told(rule: Rule) -> tuple[str, str, str]:
    """Return what a rule does, after how many days, and to what; an unknown kind of rule as JSON."""
    try:
        condition = dict(rule.get("condition") or {})
        age = condition.pop("age", None)
        begins, ends = (list(condition.pop(f"matches{where}", [])) for where in ("Prefix", "Suffix"))
        names = [f"{begin}...{end}" for begin in begins or [""] for end in ends or [""]]
        what = str(rule["action"]["type"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return "unknown", "", json.dumps(rule)[:MOST_CHARACTERS]
    rest = [f"{name}={value}" for name, value in condition.items()]
    return what, "" if age is None else f"{age} days", ", ".join([*names, *rest])


def _set(shell: Shell, settings: Settings, rules: list[Rule], yes: bool) -> None:
    if (
        not shell.dry_run
        and not yes
        and not confirmed(f'set them in {settings.project_id}? Only "yes" does: ', "yes")
    ):
        raise UserError("nothing was changed", exit_code=1)
    words = ["storage", "buckets", "update", f"gs://{settings.bucket_name}", "--project", settings.project_id]
    if not rules:
        gcloud.read(shell, [*words, "--clear-lifecycle"])
        return
    try:
        RULES.parent.mkdir(parents=True, exist_ok=True)
        RULES.write_text(json.dumps({"rule": rules}, indent=2) + "\n")
    except OSError as error:
        raise UserError(f"{nearest(RULES)}: cannot be written ({error.strerror})") from None
    gcloud.read(shell, [*words, f"--lifecycle-file={nearest(RULES)}"])
