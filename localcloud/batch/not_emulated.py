"""What is not emulated: a valid job that uses it is refused instead of being run differently."""

from collections.abc import Iterator, Mapping
from typing import Any

from localcloud.messages import ApiError


def check_is_emulated(definition: Mapping[str, Any], has_containers: bool) -> None:
    if missing := list(_not_emulated(definition, has_containers)):
        raise ApiError(400, f"localcloud does not emulate {', '.join(missing)}.")


def _not_emulated(definition: Mapping[str, Any], has_containers: bool) -> Iterator[str]:
    group = definition["taskGroups"][0]
    spec = group["taskSpec"]
    if spec.get("volumes"):
        yield "volumes of tasks"
    runnables = spec["runnables"]
    if any("barrier" in each for each in runnables):
        yield "barriers"
    if group.get("requireHostsFile"):
        yield "hosts files"
    if any(each.get("container", {}).get("blockExternalNetwork") for each in runnables):
        yield "containers without a network"
    if not has_containers and any(each.get("container", {}).get("volumes") for each in runnables):
        yield "volumes of a container where tasks are processes"
    environments = [spec, *runnables]
    encrypted = [each.get("environment", {}) for each in environments] + group.get("taskEnvironments", [])
    if any("encryptedVariables" in each for each in encrypted):
        yield "encrypted variables"
    if "instanceTemplate" in next(iter(definition["allocationPolicy"].get("instances", [])), {}):
        yield "instance templates"
