"""Rules of the bucket that delete files after some days if they can be made again; never forecasts.

A rule matches the beginning and the end of a name. Files that stages pass on are matched by their end, .pkl,
and sources of builds by their beginning. The rules of others are kept.
"""

import json
from typing import Any

from rich.table import Table

from ops.cloud.checks import check_bucket
from ops.cloud.cloud import Cloud
from ops.failures import UserError
from ops.settings import RENDERED
from ops.terminal import confirmed, console, nearest, need_terminal_or

RULES = RENDERED / "lifecycle.json"
DEFAULT_DAYS = 90
SOURCES_DAYS = 30
MOST_CHARACTERS = 200  # of a rule that is shown as JSON
LEAST_DAYS = 17  # a job may wait for 2 days and then run for 14, and needs its inputs until then

Rule = dict[str, Any]


def set_rules(cloud: Cloud, days: int = DEFAULT_DAYS, yes: bool = False) -> None:
    """Show the current and the new rules, ask, and set them; 0 days removes ours.

    A dry run reads the rules, too: without the rules of others its command would delete these. It asks
    nothing: pass `yes`.

    Raises
    ------
    UserError
        The number of days is too low, or the bucket does not exist.
    """
    if 0 < days < LEAST_DAYS:
        raise UserError(
            f"--days {days}: at least {LEAST_DAYS}, because a job may wait for 2 days and run for 14; "
            "0 removes the rules"
        )
    need_terminal_or(yes)
    check_bucket(cloud.without_dry_run)
    now = _rules_now(cloud.without_dry_run)
    ours = our_rules(cloud.prefix, days) if days else []
    new = [rule for rule in now if not _is_ours(cloud.prefix, rule)] + ours
    if now == new:
        print(f"gs://{cloud.bucket} has these rules already; nothing to change")
        return
    _show_rules(cloud, now, new)
    _set(cloud, new, yes)


def our_rules(prefix: str, days: int) -> list[Rule]:
    """Return the rules for inputs and results of runs, and for sources of builds."""
    below = {"matchesPrefix": [prefix]} if prefix else {}
    sources = [f"{prefix}cloudbuild/"]
    return [
        _deletion({"age": days, **below, "matchesSuffix": [".pkl"]}),
        _deletion({"age": SOURCES_DAYS, "matchesPrefix": sources}),
    ]


def _deletion(condition: dict[str, Any]) -> Rule:
    return {"action": {"type": "Delete"}, "condition": condition}


def _is_ours(prefix: str, rule: Rule) -> bool:
    """Return whether a rule is ours for this prefix, whatever its age; rules have no names."""
    if not isinstance(rule, dict) or not isinstance(rule.get("condition"), dict):
        return False
    without_age = {**rule, "condition": {**rule["condition"], "age": 0}}
    return without_age in [
        {**ours, "condition": {**ours["condition"], "age": 0}} for ours in our_rules(prefix, 0)
    ]


def _rules_now(cloud: Cloud) -> list[Rule]:
    words = ["storage", "buckets", "describe", f"gs://{cloud.bucket}", "--raw"]
    found = cloud.read_json([*words, *cloud.in_project], echo=False)
    lifecycle = (found.get("lifecycle") if isinstance(found, dict) else found) or {}
    rules = (lifecycle.get("rule") if isinstance(lifecycle, dict) else lifecycle) or []
    if not isinstance(rules, list):
        raise UserError(f"gs://{cloud.bucket}: its lifecycle is not a list of rules", exit_code=1)
    return rules


def _show_rules(cloud: Cloud, now: list[Rule], new: list[Rule]) -> None:
    table = Table(box=None, header_style="bold")
    for column in ("rule", "what", "after", "names"):
        table.add_column(column, overflow="fold")
    for rule in [*now, *(rule for rule in new if rule not in now)]:
        change = "kept" if rule in now and rule in new else "new" if rule in new else "removed"
        table.add_row(change, *_described(rule))
    console().print(f"rules of gs://{cloud.bucket}:")
    console().print(table)
    if not cloud.prefix and any(rule in new for rule in our_rules(cloud.prefix, DEFAULT_DAYS)):
        print(
            "note: without DIR_PREFIX the first rule deletes every .pkl in the bucket, also those of others",
            flush=True,
        )


def _described(rule: Rule) -> tuple[str, str, str]:
    """Return what a rule does, after how many days, and to which names; an unknown rule as JSON."""
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


def _set(cloud: Cloud, rules: list[Rule], yes: bool) -> None:
    if not yes and not confirmed(f'set them in {cloud.project}? Type "yes" to confirm: ', "yes"):
        raise UserError("nothing was changed", exit_code=1)
    words = ["storage", "buckets", "update", f"gs://{cloud.bucket}", *cloud.in_project]
    if not rules:
        cloud.read([*words, "--clear-lifecycle"])
        return
    try:  # also in a dry run, whose command reads the file
        RULES.parent.mkdir(parents=True, exist_ok=True)
        RULES.write_text(json.dumps({"rule": rules}, indent=2) + "\n")
    except OSError as error:
        raise UserError(f"{nearest(RULES)}: cannot be written ({error.strerror})") from None
    cloud.read([*words, f"--lifecycle-file={nearest(RULES)}"])
