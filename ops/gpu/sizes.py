"""The size of an instance of each service, and how many there may be, as the settings choose them."""

from dataclasses import dataclass

from ops.settings import Settings

NO_GPU = "none"  # value of GPU_TYPE
CPU_OF_OTHERS = 1  # CPUs of the services without a GPU


@dataclass(frozen=True)
class Size:
    """An instance of a service, and the most at the same time."""

    cpu: int
    memory_gib: int
    has_gpu: bool
    instances: int


def size_of(settings: Settings, service: str) -> Size:
    """Return the size of one of SERVICES."""
    if service == "inference":
        return Size(
            settings.gpu_cpu,
            gib(settings.gpu_memory),
            settings.gpu_type != NO_GPU,
            min(settings.gpu_max_instances, settings.max_instances),
        )
    memory = getattr(settings, f"{service}_memory")
    return Size(CPU_OF_OTHERS, gib(memory), False, settings.max_instances)


def gib(memory: str) -> int:
    """Return the number of a setting such as 16Gi."""
    return int(memory.removesuffix("Gi"))
