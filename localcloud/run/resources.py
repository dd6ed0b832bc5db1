"""Services and their revisions as the service keeps them, and as Knative's API shows them.

https://cloud.google.com/run/docs/reference/rest/v1/namespaces.services
"""

import hashlib
import json
import secrets
import uuid
from dataclasses import dataclass, field
from typing import Any

from localcloud.policies import EMPTY
from localcloud.projects import PROJECT_NUMBER
from localcloud.run import policies
from localcloud.run.access import RUN_DOMAIN
from localcloud.run.definition import Access, Definition
from localcloud.run.rules import INGRESS, SERVICE_MIN_SCALE
from localcloud.run.templates import definition_of
from localcloud.times import now

API_VERSION = "serving.knative.dev/v1"
LOCATION_LABEL = "cloud.googleapis.com/location"
SERVICE_LABEL = "serving.knative.dev/service"
URLS = "run.googleapis.com/urls"
INGRESS_STATUS = "run.googleapis.com/ingress-status"
# Letters of the regions in hashed URLs; another region has its first letter and the last.
_LETTERS = {
    "us-central1": "uc",
    "us-east1": "ue",
    "us-east4": "uk",
    "us-west1": "uw",
    "europe-west1": "ew",
    "europe-west4": "ez",
    "asia-southeast1": "as",
}
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"

Key = tuple[str, str, str]  # project, region, service


@dataclass
class Outcome:
    """Whether a revision, or the newest change of a service, is ready: "Unknown", "True" or "False"."""

    status: str = "Unknown"
    message: str = ""
    time: str = field(default_factory=now)

    def condition(self, kind: str, **more: str) -> dict[str, str]:
        shown = {"type": kind, "status": self.status, "lastTransitionTime": self.time, **more}
        if self.status == "False":
            shown["reason"] = "HealthCheckContainerError"
        return shown | ({"message": self.message} if self.message else {})


@dataclass(eq=False)
class ServiceRevision:
    """A revision: a template that does not change any more."""

    name: str
    template: dict[str, Any]
    generation: int  # of the service, when it was made
    digest: str  # of its image; empty if there is none
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    create_time: str = field(default_factory=now)
    outcome: Outcome = field(default_factory=Outcome)

    def resource(self, service: "Service") -> dict[str, Any]:
        metadata, serves = self.template["metadata"], service.serving is self
        labels = {
            LOCATION_LABEL: service.key[1],
            SERVICE_LABEL: service.key[2],
            "serving.knative.dev/configuration": service.key[2],
            "serving.knative.dev/configurationGeneration": str(self.generation),
            "serving.knative.dev/serviceUid": service.uid,
        }
        active = {"severity": "Info"} | ({} if serves else {"status": "False", "reason": "Retired"})
        image = self.template["spec"]["containers"][0]["image"].partition("@")[0]
        name, _, tag = image.rpartition("/")
        return {
            "apiVersion": API_VERSION,
            "kind": "Revision",
            "metadata": {
                "name": self.name,
                "namespace": PROJECT_NUMBER,
                "uid": self.uid,
                "generation": 1,
                "resourceVersion": service.version,
                "creationTimestamp": self.create_time,
                "labels": metadata["labels"] | labels,
                "annotations": metadata["annotations"],
                "selfLink": f"/apis/{API_VERSION}/namespaces/{PROJECT_NUMBER}/revisions/{self.name}",
            },
            "spec": self.template["spec"],
            "status": {
                "observedGeneration": 1,
                "conditions": [
                    self.outcome.condition("Ready"),
                    self.outcome.condition("Active", **active),
                    self.outcome.condition("ContainerHealthy"),
                    self.outcome.condition("ResourcesAvailable"),
                ],
                "serviceName": service.key[2],
                **({"imageDigest": f"{name}/{tag.partition(':')[0]}@{self.digest}"} if self.digest else {}),
            },
        }


@dataclass(eq=False)
class Service:
    """A service: what was asked for, its revisions, oldest first, and which of them serves."""

    key: Key
    metadata: dict[str, Any]  # labels and annotations, as asked for
    template: dict[str, Any]
    traffic: list[dict[str, Any]]
    revisions: list[ServiceRevision] = field(default_factory=list)
    serving: ServiceRevision | None = None
    policy: dict[str, Any] = field(default_factory=lambda: dict(EMPTY))
    generation: int = 0
    version: str = ""  # another one after every change that was asked for
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    create_time: str = field(default_factory=now)
    outcome: Outcome = field(default_factory=Outcome)

    @property
    def url(self) -> str:
        """The URL that names the project by its number."""
        _, region, name = self.key
        return f"https://{name}-{PROJECT_NUMBER}.{region}{RUN_DOMAIN}"

    @property
    def hashed_url(self) -> str:
        project, region, name = self.key
        letters = _LETTERS.get(region, region[0] + region[-1])
        digits = hashlib.sha256(project.encode()).hexdigest()[:10]
        return f"https://{name}-{digits}-{letters}.a{RUN_DOMAIN}"

    @property
    def ingress(self) -> str:
        return self.metadata["annotations"][INGRESS]

    @property
    def access(self) -> Access:
        urls = frozenset({self.url, self.hashed_url})
        return Access(self.ingress, policies.invokers(self.policy), urls)

    @property
    def target(self) -> ServiceRevision:
        """The revision that the traffic is meant for."""
        return next((each for each in self.revisions if each.name == self._pinned), self.revisions[-1])

    @property
    def _pinned(self) -> str:
        """The name of the revision that has the traffic; empty if it is the latest one, whichever that is."""
        return next((each.get("revisionName", "") for each in self.traffic if each.get("percent")), "")

    def definition(self, revision: ServiceRevision) -> Definition:
        least = int(self.metadata["annotations"].get(SERVICE_MIN_SCALE, "0"))
        return definition_of(self.key, revision.name, revision.template, least)

    def new_revision_name(self) -> str:
        ending = "".join(secrets.choice(_SUFFIX) for _ in range(3))
        return self.template["metadata"].get("name") or f"{self.key[2]}-{self.generation:05d}-{ending}"

    def resource(self) -> dict[str, Any]:
        _, region, name = self.key
        ours = {
            URLS: json.dumps([self.url, self.hashed_url]),
            INGRESS_STATUS: self.ingress,
        }
        return {
            "apiVersion": API_VERSION,
            "kind": "Service",
            "metadata": {
                "name": name,
                "namespace": PROJECT_NUMBER,
                "uid": self.uid,
                "generation": self.generation,
                "resourceVersion": self.version,
                "creationTimestamp": self.create_time,
                "labels": self.metadata["labels"] | {LOCATION_LABEL: region},
                "annotations": self.metadata["annotations"] | ours,
                "selfLink": f"/apis/{API_VERSION}/namespaces/{PROJECT_NUMBER}/services/{name}",
            },
            "spec": {"template": self.template, "traffic": self.traffic},
            "status": self._status(),
        }

    def _status(self) -> dict[str, Any]:
        status: dict[str, Any] = {
            "observedGeneration": self.generation,
            "conditions": [
                self.outcome.condition(kind) for kind in ("Ready", "ConfigurationsReady", "RoutesReady")
            ],
            "latestCreatedRevisionName": self.revisions[-1].name,
        }
        ready = [each.name for each in self.revisions if each.outcome.status == "True"]
        if ready:
            status["latestReadyRevisionName"] = ready[-1]
        if self.serving:
            latest = {} if self._pinned else {"latestRevision": True}
            status["traffic"] = [{"revisionName": self.serving.name, "percent": 100, **latest}]
            status |= {"url": self.hashed_url, "address": {"url": self.hashed_url}}
        return status
