"""What is refused in a well-formed service: by Cloud Run, and here alone because it is not emulated.

gcloud checks nearly nothing itself. The limits come from https://cloud.google.com/run/quotas and the
documentation of the fields. The wording follows refusals that users quoted; where the service's behaviour is
not known, the stricter one is taken.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from localcloud.run.sizes import CONTAINER, SPEC, problems_of_size
from localcloud.run.templates import MAX_SCALE, MIN_SCALE
from localcloud.run.violations import Violation

# The first API takes 63 characters, the second, which Terraform speaks, 49.
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,47}[a-z0-9])?")
_REVISION = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_LABEL_KEY, _LABEL_VALUE = re.compile(r"[a-z][a-z0-9_-]{0,62}"), re.compile(r"[a-z0-9_-]{0,63}")
_IMAGE = re.compile(
    r"(?:(?:[a-z0-9-]+\.)?gcr\.io|[a-z0-9-]+-docker\.pkg\.dev|docker\.io)/[a-z0-9._/-]+"
    r"(?::[\w][\w.-]*)?(?:@sha256:[0-9a-f]{64})?"
)
_PATH = re.compile(r"/[^\s]*")
MAX_CONCURRENCY, MAX_TIMEOUT_SECONDS, MAX_STARTUP_SECONDS, MAX_LIVENESS_SECONDS = 1000, 3600, 240, 3600
MAX_INSTANCES = 1000
MAX_VALUE = 32768  # characters of an environment variable
RESERVED = ("PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION")
INGRESS = "run.googleapis.com/ingress"
INGRESSES = ("all", "internal", "internal-and-cloud-load-balancing")
SERVICE_MIN_SCALE = "run.googleapis.com/minScale"
_UNSUPPORTED = (
    "run.googleapis.com/invoker-iam-disabled",
    "run.googleapis.com/default-url-disabled",
    "run.googleapis.com/iap-enabled",
    "run.googleapis.com/scalingMode",
    "run.googleapis.com/manualInstanceCount",
)


def problems_of_name(name: str) -> Iterator[Violation]:
    if not _NAME.fullmatch(name):
        yield Violation(
            "metadata.name",
            "Resource name must use only lowercase letters, numbers and '-'. Must begin with a letter and "
            "cannot end with a '-'. Must be less than 50 characters.",
        )


def problems_of_metadata(metadata: Mapping[str, Any]) -> Iterator[Violation]:
    """Yield what is wrong with labels and annotations of a service."""
    annotations = metadata.get("annotations", {})
    ingress = annotations.get(INGRESS, "all")
    if ingress not in INGRESSES:
        yield Violation(
            f"metadata.annotations[{INGRESS}]", f"must be one of {', '.join(INGRESSES)}, not {ingress!r}."
        )
    if not annotations.get(SERVICE_MIN_SCALE, "0").isdecimal():
        yield Violation(
            f"metadata.annotations[{SERVICE_MIN_SCALE}]", "must be greater than or equal to zero."
        )
    for key, value in metadata.get("labels", {}).items():
        if "/" not in key and not (_LABEL_KEY.fullmatch(key) and _LABEL_VALUE.fullmatch(value)):
            yield Violation(
                f"metadata.labels[{key}]",
                f"key and value, {value!r}, must have at most 63 lowercase letters, digits, '_' and '-'.",
            )


def problems_of_template(template: Mapping[str, Any], service: str, region: str) -> Iterator[Violation]:
    """Yield what is wrong with a template that has its defaults."""
    spec = template["spec"]
    if not spec.get("containers"):
        yield Violation(SPEC, "must contain at least one container.")
        return
    yield from _problems_of_revision_name(template["metadata"].get("name", ""), service)
    yield from _problems_of_requests(spec)
    scale = list(_problems_of_scale(template["metadata"]["annotations"]))
    yield from scale
    container = spec["containers"][0]
    yield from _problems_of_image(container.get("image", ""))
    yield from _problems_of_ports(container)
    yield from _problems_of_variables(container.get("env", []))
    for kind, most in (("startup", MAX_STARTUP_SECONDS), ("liveness", MAX_LIVENESS_SECONDS)):
        if f"{kind}Probe" in container:
            yield from _problems_of_probe(container[f"{kind}Probe"], f"{CONTAINER}.{kind}_probe", most)
    yield from problems_of_size(template, region)


def _problems_of_revision_name(name: str, service: str) -> Iterator[Violation]:
    if name and not (_REVISION.fullmatch(name) and name.startswith(f"{service}-")):
        yield Violation(
            "spec.template.metadata.name",
            f"must use only lowercase letters, numbers and '-', begin with '{service}-', not end with a '-' "
            "and have at most 63 characters.",
        )


def _problems_of_requests(spec: Mapping[str, Any]) -> Iterator[Violation]:
    if not 0 <= spec["containerConcurrency"] <= MAX_CONCURRENCY:
        yield Violation(f"{SPEC}.container_concurrency", f"Must be a number between 0 and {MAX_CONCURRENCY}.")
    if not 1 <= spec["timeoutSeconds"] <= MAX_TIMEOUT_SECONDS:
        yield Violation(
            f"{SPEC}.timeout_seconds",
            "must be a number between 1 and 3600: the maximum allowed time is one hour.",
        )


def _problems_of_scale(annotations: Mapping[str, str]) -> Iterator[Violation]:
    where = "spec.template.metadata.annotations[{}]"
    least, most = annotations.get(MIN_SCALE, "0"), annotations[MAX_SCALE]
    if not least.isdecimal():
        yield Violation(where.format(MIN_SCALE), "must be greater than or equal to zero.")
    elif not most.isdecimal() or not 1 <= int(most) <= MAX_INSTANCES:
        yield Violation(where.format(MAX_SCALE), f"must be a number between 1 and {MAX_INSTANCES}.")
    elif int(most) < int(least):
        yield Violation(where.format(MAX_SCALE), f"must be greater than or equal to minScale, {least}.")


def _problems_of_image(image: str) -> Iterator[Violation]:
    if not image:
        yield Violation(f"{CONTAINER}.image", "must provide an image name to deploy.")
    elif not _IMAGE.fullmatch(image):
        yield Violation(
            f"{CONTAINER}.image",
            "Expected an image path like [host/]repo-path[:tag and/or @digest], where host is one of "
            f"[region.]gcr.io, [region-]docker.pkg.dev or docker.io but obtained {image}.",
        )


def _problems_of_ports(container: Mapping[str, Any]) -> Iterator[Violation]:
    ports = container["ports"]
    if len(ports) > 1:
        yield Violation(f"{CONTAINER}.ports", "ports should contain 0 or 1 port.")
    for port in ports[:1]:
        if not 1 <= port["containerPort"] <= 65535:
            yield Violation(f"{CONTAINER}.ports[0].container_port", "must be between 1 and 65535.")
        if port.get("name", "") not in ("", "http1", "h2c"):
            yield Violation(f"{CONTAINER}.ports[0].name", "must be one of empty, 'http1' or 'h2c'.")


def _problems_of_variables(variables: list[Mapping[str, Any]]) -> Iterator[Violation]:
    where = f"{CONTAINER}.env"
    names = [each.get("name", "") for each in variables]
    if reserved := [name for name in RESERVED if name in names]:
        yield Violation(
            where,
            f"The following reserved env names were provided: {', '.join(reserved)}. These values are "
            "automatically set by the system.",
        )
    for number, each in enumerate(variables):
        name, value = each.get("name", ""), each.get("value", "")
        if not name or "=" in name or "\0" in name + value:
            yield Violation(
                f"{where}[{number}]", f"{name!r} cannot name a variable, or its value has a null."
            )
        elif names.index(name) < number:
            yield Violation(f"{where}[{number}]", f"{name} is there twice.")
        elif len(value) > MAX_VALUE:
            yield Violation(f"{where}[{number}]", f"length cannot exceed {MAX_VALUE}.")


def _problems_of_probe(probe: Mapping[str, Any], where: str, most: int) -> Iterator[Violation]:
    period, timeout = probe.get("periodSeconds", 10), probe.get("timeoutSeconds", 1)
    delay, failures = probe.get("initialDelaySeconds", 0), probe.get("failureThreshold", 3)
    if sum(kind in probe for kind in ("httpGet", "tcpSocket", "grpc", "exec")) != 1 or "exec" in probe:
        yield Violation(where, "Exactly one probe action must be set: httpGet, tcpSocket or grpc.")
    if not 1 <= period <= most:
        yield Violation(f"{where}.period_seconds", f"period_seconds must be a number between 1 and {most}.")
    if not 1 <= timeout <= min(period, most):
        yield Violation(
            f"{where}.timeout_seconds",
            f"timeout_seconds must be a number between 1 and {most}, and not above period_seconds.",
        )
    if not 0 <= delay <= most:
        yield Violation(
            f"{where}.initial_delay_seconds", f"initial_delay_seconds must be a number between 0 and {most}."
        )
    if failures < 1:
        yield Violation(f"{where}.failure_threshold", "Must be a positive number if set.")
    # The service takes a longer time without a word, and still ends the start after 240 s.
    if most == MAX_STARTUP_SECONDS and 1 <= period <= most < delay + period * failures:
        yield Violation(
            where,
            f"an instance has {most} seconds to start; initial_delay_seconds + period_seconds x "
            f"failure_threshold is {delay + period * failures}.",
        )
    if not _PATH.fullmatch(probe.get("httpGet", {}).get("path", "/")):
        yield Violation(f"{where}.http_get.path", "must begin with '/' and have no space.")


def not_emulated(service: Mapping[str, Any]) -> Iterator[str]:
    """Yield what of a valid service is not emulated; it is refused instead of ignored."""
    spec = service["spec"]["template"]["spec"]
    annotations = {
        **service["metadata"].get("annotations", {}),
        **service["spec"]["template"]["metadata"]["annotations"],
    }
    yield from (name for name in _UNSUPPORTED if name in annotations)
    container = spec["containers"][0]
    if len(spec["containers"]) > 1:
        yield "several containers"
    if spec.get("volumes") or container.get("volumeMounts"):
        yield "volumes"
    if any("valueFrom" in each for each in container.get("env", [])) or "envFrom" in container:
        yield "variables from secrets"
    if container["ports"][0].get("name") == "h2c":
        yield "HTTP/2"
    probe = container["startupProbe"]
    if "grpc" in probe:
        yield "gRPC probes"
    elif (probe.get("httpGet") or probe["tcpSocket"])["port"] != container["ports"][0]["containerPort"]:
        yield "probes of another port than the container's"
    traffic = service["spec"].get("traffic", [])
    if any(each.get("tag") for each in traffic):
        yield "tagged revisions"
    if sum(each.get("percent", 0) > 0 for each in traffic) > 1:
        yield "traffic to several revisions"
