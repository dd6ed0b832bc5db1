"""The GPU lane as an emulated cloud holds it and as plans of terraform/gpu/ describe it, in the same words.

A thing, such as a service or a right, has facts by their paths in the REST APIs. A field that gpu_fields.py
does not name keeps its own path, so that it is a difference: nothing is passed over in silence.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from localcloud.process import Cloud
from localcloud.projects import PROJECT_NUMBER
from tests.emulated import request
from tests.gpu_fields import (
    DEFAULTS,
    KINDS,
    NAMED_BY,
    NAMES,
    PATHS,
    RUN,
    SPEC,
    WORDS,
    assigned,
    camel,
    is_below,
)
from tests.gpu_plans import project_number, read

Facts = dict[str, str]
Things = dict[str, Facts]
Resource = dict[str, Any]


def differences(cloud: Things, plan: Things) -> list[str]:
    """Return what the two do not have in common, one thing or fact a line."""
    found = []
    for thing in sorted({*cloud, *plan}):
        if thing not in cloud or thing not in plan:
            found.append(f"{thing}: only in the {'cloud' if thing in cloud else 'plan'}")
            continue
        paths = sorted({*cloud[thing], *plan[thing]})
        sides = {path: [each[thing].get(path, "nothing") for each in (cloud, plan)] for path in paths}
        found += [
            f"{thing}: {path}: {a} in the cloud, {b} planned" for path, (a, b) in sides.items() if a != b
        ]
    return found


# ---- a plan


def of_plan(plan: Resource) -> Things:
    """Return what a plan describes, in a project of the emulated number; an unknown kind by its address."""
    plan = json.loads(json.dumps(plan).replace(project_number(plan), PROJECT_NUMBER))
    changes = [each for each in plan["resource_changes"] if each["mode"] == "managed"]
    return dict(_planned(plan, each["address"], each["type"], each["change"]["after"]) for each in changes)


def _planned(plan: Resource, address: str, kind: str, after: Resource) -> tuple[str, Facts]:
    if "_iam_member" in kind:
        return _planned_grant(kind, after)
    if kind not in KINDS:
        return address, {}
    facts = dict(_leaves(_completed(plan, address, kind, after)))
    return _thing(KINDS[kind], facts, _translated(KINDS[kind], facts))


def _completed(plan: Resource, address: str, kind: str, after: Resource) -> Resource:
    """Return a planned resource with what a plan only refers to."""
    after = {name: value for name, value in after.items() if name != "project"}
    if kind == "google_monitoring_dashboard":
        return json.loads(after["dashboard_json"])
    if kind == "google_monitoring_alert_policy":  # null for each channel, which is made first
        channels = [each["display_name"] for each in _after(plan, "google_monitoring_notification_channel")]
        return after | {"notification_channels": channels[: len(after["notification_channels"])]}
    if kind == "google_eventarc_trigger":
        [workflow] = _after(plan, "google_workflows_workflow")
        configured = plan["configuration"]["root_module"]["resources"]
        trigger = next(each["expressions"] for each in configured if each["address"] == address)
        referred = trigger["destination"][0]["workflow"]["references"][0]
        place = f"projects/{workflow['project']}/locations/{workflow['region']}/workflows/{workflow['name']}"
        told = {"google_workflows_workflow.lane.id": place}.get(referred, referred)
        return after | {"destination": [{"workflow": told}]}
    if kind == "google_cloud_run_v2_service":
        container = after["template"][0]["containers"][0]
        for image in read(plan, "google_artifact_registry_docker_image"):
            if image["key"] == address.split('"')[1] and container["image"] == image["self_link"]:
                path = f"{image['location']}-docker.pkg.dev/{image['project']}/{image['repository_id']}"
                container["image"] = _by_digest(f"{path}/{image['image_name']}")
    return after


def _after(plan: Resource, kind: str) -> list[Resource]:
    return [each["change"]["after"] for each in plan["resource_changes"] if each["type"] == kind]


def _planned_grant(kind: str, after: Resource) -> tuple[str, Facts]:
    place = {
        "google_project_iam_member": lambda: "the project",
        "google_storage_bucket_iam_member": lambda: f"bucket {after['bucket']}",
        "google_cloud_run_v2_service_iam_member": lambda: f"service {after['name']} in {after['location']}",
    }[kind]()
    [condition] = after["condition"] or [{}]
    return _grant(place, after["role"], after["member"], condition)


# ---- the emulated cloud


def held(emulator: Cloud, project: str) -> dict[str, list[Resource]]:
    """Return all that the emulated services hold of a project, as their APIs answer, by kind."""
    projects, everywhere = f"projects/{project}", f"projects/{project}/locations/-"

    def listed(path: str, name: str) -> list[Resource]:
        return _answer(f"{emulator.apis}/{path}").get(name, [])

    buckets = _answer(f"{emulator.storage}/storage/v1/b?project={project}&projection=full").get("items", [])
    services = listed(f"v1/{everywhere}/services", "items")
    workflows = [each["name"] for each in listed(f"v1/{everywhere}/workflows", "workflows")]
    repositories = listed(f"v1/{everywhere}/repositories", "repositories")
    policies = [
        _answer(url, method) | {"place": place}
        for place, url, method in _policies(emulator, project, buckets, services)
    ]
    return {
        "API": [each for each in listed(f"v1/{projects}/services", "services") if each["state"] == "ENABLED"],
        "account": listed(f"v1/{projects}/serviceAccounts", "accounts"),
        "alert": listed(f"v3/{projects}/alertPolicies", "alertPolicies"),
        "audit log": policies[0].get("auditConfigs", []),
        "bucket": buckets,
        "channel": listed(f"v3/{projects}/notificationChannels", "notificationChannels"),
        "dashboard": listed(f"v1/{projects}/dashboards", "dashboards"),
        "image": [
            image
            for each in repositories
            for image in listed(f"v1/{each['name']}/dockerImages", "dockerImages")
        ],
        "log metric": listed(f"v2/{projects}/metrics", "metrics"),
        "policy": policies,
        "repository": repositories,
        "service": services,
        "trigger": listed(f"v1/{everywhere}/triggers", "triggers"),
        "workflow": [_answer(f"{emulator.apis}/v1/{name}") for name in workflows],
    }


def _answer(url: str, method: str = "GET") -> Resource:
    answer = request(method, url, **({"json": {}} if method == "POST" else {}))
    assert answer.status_code == 200, answer.text
    return answer.json()


def _policies(
    emulator: Cloud, project: str, buckets: list[Resource], services: list[Resource]
) -> Iterator[tuple[str, str, str]]:
    """Yield each place that has a policy, and the request for it; the project first."""
    yield "the project", f"{emulator.apis}/v1/projects/{project}:getIamPolicy", "POST"
    for each in buckets:
        iam = f"{emulator.storage}/storage/v1/b/{each['name']}/iam?optionsRequestedPolicyVersion=3"
        yield f"bucket {each['name']}", iam, "GET"
    for each in services:
        name, region = each["metadata"]["name"], each["metadata"]["labels"]["cloud.googleapis.com/location"]
        service = f"{emulator.apis}/v1/projects/{project}/locations/{region}/services/{name}"
        yield f"service {name} in {region}", f"{service}:getIamPolicy", "GET"


def of_cloud(resources: Mapping[str, list[Resource]]) -> Things:
    """Return the things among what the emulated services hold; an image is none, but a service runs it."""
    things: Things = {}
    for kind, each in ((kind, each) for kind, several in resources.items() for each in several):
        if kind == "policy":
            things |= dict(_grants(each))
        elif kind != "image":
            facts = dict(_leaves(_shown(kind, each, resources)))
            ours = {path: value for path, value in facts.items() if not is_below(path, assigned(kind))}
            things |= [_thing(kind, facts, ours)]
    return things


def _shown(kind: str, resource: Resource, resources: Mapping[str, list[Resource]]) -> Resource:
    """Return a resource without its own place, in which others are named as people name them."""
    resource = json.loads(json.dumps(resource))
    if kind in ("trigger", "workflow"):
        _, _, _, location, _, name = resource["name"].split("/")
        account = resource["serviceAccount"].rpartition("/")[2]
        return resource | {"name": name, "location": location, "serviceAccount": account}
    if kind == "bucket":
        return resource | {"location": resource["location"].lower()}
    if kind == "API":
        return resource | {"service": resource["config"]["name"]}
    if kind == "repository":
        return {"name": resource["name"].rpartition("/")[2]}
    if kind in ("channel", "dashboard"):
        return {name: value for name, value in resource.items() if name != "name"}
    if kind == "alert":
        del resource["name"]
        titles = {each["name"]: each["displayName"] for each in resources["channel"]}
        channels = resource.get("notificationChannels", [])
        return resource | {"notificationChannels": [titles.get(each, each) for each in channels]}
    if kind == "service":
        notes = resource["spec"]["template"]["metadata"]["annotations"]
        notes[f"{RUN}/network-interfaces"] = json.loads(notes.get(f"{RUN}/network-interfaces", "[]"))
        container = resource["spec"]["template"]["spec"]["containers"][0]
        path, _, _ = container["image"].partition("@")
        tags = {each["uri"]: each["tags"] for each in resources["image"]}.get(container["image"])
        container["image"] = _by_digest(f"{path}:{tags[0]}") if tags else container["image"]
    return resource


def _grants(policy: Resource) -> Iterator[tuple[str, Facts]]:
    for each in policy.get("bindings", []):
        for member in each["members"]:
            yield _grant(policy["place"], each["role"], member, each.get("condition", {}))


# ---- both


def _grant(place: str, role: str, member: str, condition: Resource) -> tuple[str, Facts]:
    title = f" as {condition['title']}" if condition else ""
    return f"{role} of {member} for {place}{title}", dict(_leaves(condition))


def _by_digest(image: str) -> str:
    return f"{image}, by its digest"


def _thing(kind: str, facts: Facts, translated: Facts) -> tuple[str, Facts]:
    """Return the name of a thing and its facts, without those that are as if they were not there."""
    name = next(facts[path] for path in NAMES if path in facts)
    defaults = DEFAULTS.get(kind, {})
    return f"{kind} {name}", {
        path: value for path, value in translated.items() if defaults.get(path) != value
    }


def _translated(kind: str, facts: Facts) -> Facts:
    """Return facts of a plan by their paths in the API."""
    paths = {**PATHS[""], **PATHS.get(kind, {})}
    found = {}
    for path, value in facts.items():
        known = max((each for each in paths if is_below(path, [each])), key=len, default=None)
        if known is None:
            found[path] = value
        elif paths[known]:
            found[paths[known] + path.removeprefix(known)] = value
    if kind == "service":
        found = {path: WORDS.get(value, value) for path, value in found.items()}
        found[f"{SPEC}.timeoutSeconds"] = found[f"{SPEC}.timeoutSeconds"].removesuffix("s")
    return found


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield what a resource says, each with its path in camelCase; nothing for what is empty.

    A list of one is as that one: so Terraform shows a block.
    """
    if value is None or value in ("", [], {}):
        return
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _leaves(each, f"{path}.{camel(name)}".removeprefix("."))
    elif isinstance(value, list) and isinstance(value[0], dict):
        name_of = _namer(path.rpartition(".")[2], value)
        for number, each in enumerate(value):
            yield from _leaves(each, f"{path}{name_of(number)}")
    else:
        yield path, ", ".join(map(_text, value if isinstance(value, list) else [value]))


def _namer(name: str, elements: list[Resource]) -> Callable[[int], str]:
    if key := NAMED_BY.get(name):
        return lambda number: f".{(elements[number].get(key) or elements[number].get(_snake(key)))}"
    return lambda number: f".{number}" if len(elements) > 1 else ""


def _text(value: Any) -> str:
    if isinstance(value, bool) or value in ("True", "False"):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _snake(name: str) -> str:
    return re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name)
