"""Which CPU, memory and GPU an instance may have, and in which region.

The limits are those of https://cloud.google.com/run/docs/configuring/services/cpu, .../memory-limits and
.../gpu; the wording is that of refusals which users quoted.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from localcloud.run.quotas import Quotas
from localcloud.run.regions import GPU_REGIONS, RTX
from localcloud.run.templates import (
    ACCELERATOR,
    CPU_THROTTLING,
    ENVIRONMENT,
    GPU,
    NO_REDUNDANCY,
    Size,
    annotation,
    is_true,
    max_instances,
    size_of,
)
from localcloud.run.violations import Violation

SPEC = "spec.template.spec"
CONTAINER = f"{SPEC}.containers[0]"
_ANNOTATIONS = "spec.template.metadata.annotations"
_GIB = 2**30
_MEMORY = {
    1: (0.125, 4),
    2: (0.125, 8),
    4: (2, 16),
    6: (4, 24),
    8: (4, 32),
    20: (80, 80),
    22: (80, 88),
}  # GiB
_CPUS = ("[.08-1], 1.0, 2.0, 4.0, 6.0, 8.0", (1, 2, 4, 6, 8))
_RTX_CPUS = ("20.0, 22.0", (20, 22))


def problems_of_size(template: Mapping[str, Any], region: str) -> Iterator[Violation]:
    """Yield what is wrong with CPU, memory and GPU of a template that has its defaults."""
    limits = template["spec"]["containers"][0]["resources"]["limits"]
    where = f"{CONTAINER}.resources.limits"
    if unknown := limits.keys() - {"cpu", "memory", GPU}:
        yield Violation(where, f"only cpu, memory and {GPU} limits are supported, not {', '.join(unknown)}.")
    size = size_of(template)
    for name, number in (("cpu", size.cpu), ("memory", size.memory_bytes)):
        if number is None:
            yield Violation(f"{where}.{name}", f"Could not parse Quantity {limits[name]!r}.")
    if None not in (size.cpu, size.memory_bytes):
        yield from _problems_of_cpu(template, size)
    yield from _problems_of_gpu(template, limits, size, region)


def _problems_of_cpu(template: Mapping[str, Any], size: Size) -> Iterator[Violation]:
    listed, allowed = _RTX_CPUS if size.accelerator == RTX else _CPUS
    where = f"{CONTAINER}.resources.limits"
    cpu = size.cpu
    if cpu not in allowed and not (0.08 <= cpu < 1 and size.accelerator != RTX):
        yield Violation(
            f"{where}.cpu", f"Invalid value specified for container cpu. Must be equal to one of {listed}"
        )
        return
    if cpu < 1:
        yield from _problems_of_fraction(template)
    is_second = annotation(template, ENVIRONMENT) == "gen2" or bool(size.accelerator)
    least, most = _MEMORY.get(cpu) or (0.125, 0.5 if cpu < 0.5 else 1)
    least = max(least, 0.5) if is_second else least
    if not least * _GIB <= size.memory_bytes <= most * _GIB:
        environment = " with gen2 execution environment" if is_second else ""
        yield Violation(
            f"{where}.memory",
            f"Invalid value specified for container memory{environment}. For {float(cpu)} CPU, memory must "
            f"be between {_gib(least)} and {_gib(most)} inclusive.",
        )


def _problems_of_fraction(template: Mapping[str, Any]) -> Iterator[Violation]:
    start = "Invalid value specified for cpu. Total cpu < 1 is not supported with"
    where = f"{SPEC}.containers.resources.limits.cpu"
    if template["spec"]["containerConcurrency"] > 1:
        yield Violation(where, f"{start} concurrency > 1.")
    elif not is_true(template, CPU_THROTTLING, "true"):
        yield Violation(where, f"{start} cpu always allocated (unthrottled).")
    elif annotation(template, ENVIRONMENT) == "gen2":
        yield Violation(where, f"{start} gen2 execution environment.")


def _problems_of_gpu(
    template: Mapping[str, Any], limits: Mapping[str, str], size: Size, region: str
) -> Iterator[Violation]:
    selector = template["spec"].get("nodeSelector", {})
    where = f"{SPEC}.node_selector"
    if unknown := selector.keys() - {ACCELERATOR}:
        yield Violation(where, f"only {ACCELERATOR} is supported, not {', '.join(sorted(unknown))}.")
    if GPU not in limits:
        if ACCELERATOR in selector:
            yield Violation(where, f"an accelerator must not be set without a limit of {GPU}.")
        return
    if limits[GPU] != "1":
        yield Violation(f"{CONTAINER}.resources.limits.{GPU}", "GPU can only be set to 1.")
    # The service may choose nvidia-l4 by itself; what is deployed here names it.
    if size.accelerator not in GPU_REGIONS:
        known = ", ".join(GPU_REGIONS)
        yield Violation(where, f"Invalid GPU type {size.accelerator!r}. Supported GPU types: {known}.")
        return
    regions = GPU_REGIONS[size.accelerator]
    if region not in regions:
        yield Violation(
            where,
            f"GPU configuration for {size.accelerator} is only supported in regions: {', '.join(regions)}.",
        )
    yield from _problems_beside_gpu(template, size)


def _problems_beside_gpu(template: Mapping[str, Any], size: Size) -> Iterator[Violation]:
    least_cpu, least_gib = (20, 80) if size.accelerator == RTX else (4, 16)
    if (size.cpu or 0) < least_cpu or (size.memory_bytes or 0) < least_gib * _GIB:
        yield Violation(
            f"{CONTAINER}.resources.limits",
            f"Invalid value specified with GPU {size.accelerator}. CPU must be at least {least_cpu}; memory "
            f"must be at least {least_gib}Gi.",
        )
    # Without the annotation the service may turn throttling off by itself; what is deployed here says so.
    if is_true(template, CPU_THROTTLING, "true"):
        yield Violation(
            f"{_ANNOTATIONS}[{CPU_THROTTLING}]",
            "CPU throttling must be disabled in order to set GPU requirements.",
        )
    if annotation(template, ENVIRONMENT) == "gen1":
        yield Violation(
            f"{_ANNOTATIONS}[{ENVIRONMENT}]",
            "Execution environment must be set to gen2 in order to set GPU requirements.",
        )


def problems_of_quota(template: Mapping[str, Any], quotas: Quotas, others: int) -> Iterator[Violation]:
    """Yield what a valid template asks for beyond the quotas.

    `others` is the largest number of instances of the service's other revisions. With a GPU it counts, too,
    until those revisions are deleted: pulumi/pulumi-gcp#3794.
    """
    size, most = size_of(template), max_instances(template)
    if size.accelerator:
        is_redundant = not is_true(template, NO_REDUNDANCY, "false")
        yield from quotas.gpu_problems(size.accelerator, max(most, others), is_redundant)
    yield from quotas.size_problems(most, size.cpu, size.memory_bytes)


def _gib(number: float) -> str:
    return f"{number:g}Gi" if number >= 1 else f"{number * 1024:g}Mi"
