"""What a revision of a service runs, and how it is reached: what instances use of a Knative Service."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Probe:
    """A startup probe: a GET of `path` until it answers with 2xx or 3xx; without a path, a connection."""

    path: str = ""
    initial_delay_seconds: float = 0
    period_seconds: float = 240
    timeout_seconds: float = 240
    failure_threshold: int = 1


@dataclass(frozen=True)
class Definition:
    """A revision of a service, checked and with the service's defaults filled in."""

    project: str
    region: str
    service: str
    revision: str
    image: str
    command: tuple[str, ...]  # without it, the image's own
    env: Mapping[str, str]
    account: str  # e-mail
    concurrency: int  # requests at a time of an instance
    max_instances: int
    min_instances: int
    timeout_seconds: float
    probe: Probe
    has_gpu: bool
    cpu: float
    memory_mib: int

    @property
    def resource(self) -> str:
        """Return the resource name of the service."""
        return f"projects/{self.project}/locations/{self.region}/services/{self.service}"


@dataclass(frozen=True)
class Access:
    """Who may call a service: of the service, not of a revision."""

    ingress: str  # "all", "internal" or "internal-and-cloud-load-balancing"
    invokers: frozenset[str]  # members with roles/run.invoker: "serviceAccount:...", "allUsers"
    audiences: frozenset[str]  # its URLs
