"""Dashboard, alerts and channel for mail: as terraform/gpu/alerts.yaml and dashboard.json describe them.

Both are templates that Terraform fills, too: ${stem} is the beginning of the lane's names, $${ is ${ itself.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from ops.cloud.cloud import Cloud
from ops.gpu.found import Resource
from ops.gpu.lane import Lane
from ops.gpu.rates import rate_table, usd_per_second
from ops.gpu.steps import Chains, Change, Command, one_by_one
from ops.names import COMPONENT
from ops.settings import ROOT

FOLDER = ROOT / "terraform" / "gpu"
CHANNELS, POLICIES = ("beta", "monitoring", "channels"), ("alpha", "monitoring", "policies")
A_CHANNEL = "CHANNEL"  # in a dry run, which makes none
DASHBOARDS = ("monitoring", "dashboards")
USED_PERCENT = 80  # of a request's time, from which a request takes long


def lane_title(lane: Lane) -> str:
    """Return the display name of the channel and of the budget."""
    return f"GPU lane ({lane.names.stem})"


def values(lane: Lane) -> dict[str, str]:
    """Return what the templates are filled with."""
    settings = lane.cloud.settings
    return {
        "stem": lane.names.stem,
        "project": lane.names.project,
        "region": lane.names.region,
        "timeout_seconds": str(settings.timeout_seconds),
        "latency_ms": str(settings.timeout_seconds * 10 * USED_PERCENT),
        "min_instances": str(settings.min_instances),
        "prices_of": rate_table()["as_of"],
        **{f"{name}_usd_per_second": f"{usd:.8f}" for name, usd in usd_per_second(settings).items()},
    }


def _filled(lane: Lane, name: str) -> str:
    """Return a template filled as Terraform's templatefile() does."""
    given, text = values(lane), (FOLDER / name).read_text(encoding="utf-8")
    return re.sub(r"\$\$\{|\$\{(\w+)\}", lambda found: given[found[1]] if found[1] else "${", text)


def channel_changes(lane: Lane) -> list[Change]:
    """Return the change that makes the channel for mail; none without ALERT_EMAIL, or if it is there."""
    address, there = lane.cloud.settings.alert_email, [*lane.found.channels.values()]
    if not address or _addressed(lane, there):
        return []
    create = [
        *(*CHANNELS, "create", "--display-name", lane_title(lane), "--type", "email"),
        *("--channel-labels", f"email_address={address}", "--user-labels", lane.label_option),
    ]
    return [Change(f"create the channel for mail to {address}", [[*create, *lane.cloud.in_project]])]


def unused_channels(lane: Lane) -> list[Change]:
    """Return the changes that delete channels to other addresses, which no alert names any more."""
    used = _addressed(lane, [*lane.found.channels.values()])
    return [
        Change(f"delete the channel for mail to {_address(each)}", [delete_channel(lane.cloud, name)])
        for name, each in lane.found.channels.items()
        if name not in used
    ]


def delete_channel(cloud: Cloud, name: str) -> Command:
    """Return the command that deletes a channel, even if an alert names it."""
    return [*CHANNELS, "delete", name, "--force", "--quiet", *cloud.in_project]


def channel_names(lane: Lane) -> list[str]:
    """Return the name of the channel, which exists by now; the service has chosen it."""
    if not channel_changes(lane):
        return _addressed(lane, [*lane.found.channels.values()])
    listed = lane.cloud.read_json([*CHANNELS, "list", *lane.cloud.in_project], echo=False)
    if listed is None:
        return [A_CHANNEL]
    return _addressed(lane, [each for each in listed if each.get("displayName") == lane_title(lane)])


def _address(channel: Resource) -> str:
    return channel.get("labels", {}).get("email_address", "")


def _addressed(lane: Lane, channels: Sequence[Resource]) -> list[str]:
    """Return the name of the channel that sends to ALERT_EMAIL; of one that was made twice, the first."""
    address = lane.cloud.settings.alert_email
    return sorted(each["name"] for each in channels if address and _address(each) == address)[:1]


def alert_changes(lane: Lane) -> list[str]:
    """Return what has to change in the alerts, for the operator."""
    channels = [A_CHANNEL] if channel_changes(lane) else _addressed(lane, [*lane.found.channels.values()])
    there = _alerts_there(lane)
    return [
        f"{'delete' if each is None else 'change' if title in there else 'create'} alert {title}"
        for title, each in _unlike(lane, channels).items()
    ] + [f"delete alert {each['displayName']}, which is there twice" for each in _surplus(lane)]


def alert_chains(lane: Lane) -> Chains:
    """Return the commands for alerts that are not as wanted; the channel exists, under a name of its own."""
    unlike = _unlike(lane, channel_names(lane))
    commands = [_alert_command(lane, number, *each) for number, each in enumerate(unlike.items())]
    return one_by_one([*commands, *(_delete_alert(lane, each["name"]) for each in _surplus(lane))])


def _unlike(lane: Lane, channels: list[str]) -> dict[str, dict[str, Any] | None]:
    """Return the alerts that are not as wanted, by title; None for one that is not wanted any more."""
    there = _alerts_there(lane)
    wanted = {
        each["displayName"]: {**each, "notificationChannels": channels, "userLabels": lane.labels}
        for each in yaml.safe_load(_filled(lane, "alerts.yaml"))
    }
    unlike = {title: each for title, each in wanted.items() if not is_within(each, there.get(title))}
    return unlike | {title: None for title in there if title not in wanted}


def _own_alerts(lane: Lane) -> list[Resource]:
    """Return the lane's alerts without those that a person has made for it, which have no such label."""
    alerts = lane.found.alerts.values()
    return [each for each in alerts if each.get("userLabels", {}).get("component") == COMPONENT]


def _alerts_there(lane: Lane) -> dict[str, Resource]:
    """Return the lane's alerts by title, the first of each."""
    return {each["displayName"]: each for each in reversed(_own_alerts(lane))}


def _surplus(lane: Lane) -> list[Resource]:
    """Return the alerts that are there twice: where an answer is lost, gcloud sends its request again."""
    first = {each["name"] for each in _alerts_there(lane).values()}
    return [each for each in _own_alerts(lane) if each["name"] not in first]


def _delete_alert(lane: Lane, name: str) -> Command:
    return [*POLICIES, "delete", name, "--quiet", *lane.cloud.in_project]


def _alert_command(lane: Lane, number: int, title: str, wanted: dict[str, Any] | None) -> Command:
    name, project = _alerts_there(lane).get(title, {}).get("name", ""), lane.cloud.in_project
    if wanted is None:
        return _delete_alert(lane, name)
    file = ["--policy-from-file", lane.write(f"alert-{number}.json", wanted)]
    return [*POLICIES, *(["update", name] if name else ["create"]), *file, *project]


def dashboard_changes(lane: Lane) -> list[Change]:
    """Return the change that makes the dashboard as dashboard.json describes it."""
    wanted = json.loads(_filled(lane, "dashboard.json")) | {"labels": lane.labels}
    found = [*lane.found.dashboards.values()]
    if any(is_within(wanted, each) for each in found):  # whatever a person has made of a copy
        return []
    there = next(iter(found), None)
    project = lane.cloud.in_project
    if there is None:
        file = ["--config-from-file", lane.write("dashboard.json", wanted)]
        return [Change("create the dashboard", [[*DASHBOARDS, "create", *file, *project]])]
    name = there["name"].rpartition("/")[2]
    file = lane.write("dashboard.json", wanted | {"etag": there["etag"]})
    update = [*DASHBOARDS, "update", name, "--config-from-file", file, *project]
    return [Change("change the dashboard", [update])]


def is_within(wanted: Any, there: Any) -> bool:
    """Return whether all that is wanted is there; a service adds names and defaults, and drops zeros."""
    if isinstance(wanted, Mapping):
        return all(is_within(each, (there or {}).get(key)) for key, each in wanted.items())
    if isinstance(wanted, list):
        return len(wanted) == len(there or []) and all(map(is_within, wanted, there or []))
    if isinstance(wanted, str) and isinstance(there, str):
        return wanted.split() == there.split()
    return wanted == there or (there is None and wanted in (0, ""))
