"""The services of Cloud Run: created, changed, deleted, and deployed to instances.

A change that is valid is answered at once, with conditions that are Unknown. A thread then has the revision
started, and sets them to True or False. Changes of one service are deployed one after the other.
"""

import copy
import secrets
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from localcloud.iam import AccountService
from localcloud.messages import ApiError
from localcloud.policies import shown, with_deleted
from localcloud.projects import PROJECT_NUMBER
from localcloud.registry import RegistryService, repository_of
from localcloud.rights import callers
from localcloud.run import policies
from localcloud.run.definition import Access, Definition
from localcloud.run.instance import StartFailed
from localcloud.run.quotas import Quotas
from localcloud.run.resources import (
    API_VERSION,
    INGRESS_STATUS,
    LOCATION_LABEL,
    URLS,
    Key,
    Outcome,
    Service,
    ServiceRevision,
)
from localcloud.run.rules import (
    INGRESS,
    not_emulated,
    problems_of_metadata,
    problems_of_name,
    problems_of_template,
)
from localcloud.run.shapes import SERVICE
from localcloud.run.sizes import problems_of_quota
from localcloud.run.templates import filled, max_instances
from localcloud.run.violations import Violation, refuse
from localcloud.shapes import check_shape, without_nulls

_ACT_AS = "iam.serviceaccounts.actAs"  # as Cloud Run spells it
_LATEST = [{"percent": 100, "latestRevision": True}]
_SET_HERE = (URLS, INGRESS_STATUS)  # annotations that come back with a service that was read


class Instances(Protocol):
    """What runs revisions."""

    def deploy(self, definition: Definition, access: Access) -> None:
        """Start a revision and let it serve; raise StartFailed if it does not become ready."""

    def allow(self, project: str, region: str, service: str, access: Access) -> None:
        """Change who may call a service; nothing happens if it is not deployed."""

    def remove(self, project: str, region: str, service: str) -> None:
        """Stop a service, if it is deployed."""


class Deployments:
    """The services of all projects and regions. A project may be named by its number, too."""

    def __init__(
        self, accounts: AccountService, registry: RegistryService, quotas: Quotas, instances: Instances
    ):
        self._accounts, self._registry, self._quotas = accounts, registry, quotas
        self._instances = instances
        self._services: dict[Key, Service] = {}
        self._turns: dict[Key, threading.Lock] = {}
        self._lock = threading.RLock()

    def forget_all(self) -> None:
        with self._lock:
            keys = list(self._services)
            self._services.clear()
        for key in keys:
            self._instances.remove(*key)

    def create(self, project: str, region: str, body: Mapping[str, Any], dry_run: bool) -> dict[str, Any]:
        asked = _read(body, project)
        key = (project, region, asked["metadata"].get("name", ""))
        refuse(problems_of_name(key[2]))
        with self._lock:
            if self._find(key):
                raise ApiError(409, f"Resource '{key[2]}' already exists.")
            service = Service(key, {}, {}, [])
            self._apply(service, asked)
            if not dry_run:
                self._services[key] = service
                self._deploy(service)
            return service.resource()

    def replace(self, key: Key, body: Mapping[str, Any], dry_run: bool) -> dict[str, Any]:
        asked = _read(body, key[0])
        if asked["metadata"].get("name", key[2]) != key[2]:
            refuse([Violation("metadata.name", f"must be {key[2]}, the name in the address.")])
        with self._lock:
            kept = self._found(key)
            known = asked["metadata"].get("resourceVersion")
            if known not in (None, kept.version):
                message = (
                    f"Conflict for resource '{key[2]}': version '{known}' was specified but current version "
                    f"is '{kept.version}'."
                )
                raise ApiError(409, message, status="ABORTED")
            changed = copy.copy(kept)
            changed.revisions = list(kept.revisions)
            self._apply(changed, asked)
            if dry_run:
                return changed.resource()
            before = kept.definition(kept.target)
            vars(kept).update(vars(changed))
            if kept.definition(kept.target) != before or kept.outcome.status == "False":
                self._deploy(kept)
            else:
                self._instances.allow(*kept.key, kept.access)
            return kept.resource()

    def resource(self, key: Key) -> dict[str, Any]:
        with self._lock:
            return self._found(key).resource()

    def resources(self, project: str, region: str) -> list[dict[str, Any]]:
        """Return the services of a region, or of all regions for "-", by name."""
        with self._lock:
            return [each.resource() for each in self._listed(project, region)]

    def revisions(self, project: str, region: str) -> list[dict[str, Any]]:
        """Return the revisions of all services of a region, the newest of a service first."""
        with self._lock:
            services = self._listed(project, region)
            return [each.resource(service) for service in services for each in reversed(service.revisions)]

    def delete(self, key: Key) -> None:
        with self._lock:
            service = self._found(key)
            del self._services[service.key]
            self._instances.remove(*service.key)  # before another service of this name can start

    def delete_revision(self, project: str, region: str, name: str) -> None:
        with self._lock:
            services = self._listed(project, region)
            pairs = [(service, each) for service in services for each in service.revisions]
            found = next(((service, each) for service, each in pairs if each.name == name), None)
            if not found:
                raise not_there("REVISION", (project, region, name))
            service, revision = found
            if revision in (service.serving, service.target, service.revisions[-1]):
                message = (
                    f"Revision '{name}' cannot be deleted: it receives traffic or is the latest revision."
                )
                raise ApiError(400, message, status="FAILED_PRECONDITION")
            service.revisions.remove(revision)

    def policy(self, key: Key) -> dict[str, Any]:
        with self._lock:
            return shown(self._found(key).policy)

    def policy_if_there(self, key: Key) -> dict[str, Any]:
        """Return a service's policy, which is empty if there is no such service."""
        with self._lock:
            found = self._services.get(key)
            return found.policy if found else {}

    def set_policy(self, key: Key, asked: Any) -> dict[str, Any]:
        with self._lock:
            service = self._found(key)
            service.policy = policies.changed(service.policy, asked, self._accounts.has)
            self._instances.allow(*service.key, service.access)
            return shown(service.policy)

    def rename_deleted(self, email: str, uid: str) -> None:
        """Name an account that was deleted, in the policies, as the service names it."""
        with self._lock:
            for service in self._services.values():
                service.policy = with_deleted(service.policy, email, uid)
                self._instances.allow(*service.key, service.access)

    def _listed(self, project: str, region: str) -> list[Service]:
        return [
            each
            for key, each in sorted(self._services.items())
            if project in (key[0], PROJECT_NUMBER) and region in (key[1], "-")
        ]

    def _found(self, key: Key) -> Service:
        found = self._find(key)
        if found is None:
            raise not_there("SERVICE", key)
        return found

    def _find(self, key: Key) -> Service | None:
        if key in self._services or key[0] != PROJECT_NUMBER:
            return self._services.get(key)
        return next((each for each in self._services.values() if each.key[1:] == key[1:]), None)

    def _apply(self, service: Service, asked: dict[str, Any]) -> None:
        """Give a service what was asked for, or refuse it; add a revision if its template changes."""
        self._check(service, asked)
        metadata = {name: asked["metadata"][name] for name in ("labels", "annotations")}
        template = asked["spec"]["template"]
        traffic = asked["spec"].get("traffic") or _LATEST
        if (service.metadata, service.template, service.traffic) == (metadata, template, traffic):
            return
        is_new = service.template != template
        service.metadata, service.template, service.traffic = metadata, template, traffic
        service.generation += 1
        service.version = secrets.token_urlsafe(8)
        if is_new:
            digest = self._registry.digest_of(template["spec"]["containers"][0]["image"])
            revision = ServiceRevision(service.new_revision_name(), template, service.generation, digest)
            service.revisions.append(revision)

    def _check(self, service: Service, asked: dict[str, Any]) -> None:
        template = asked["spec"]["template"]
        refuse(problems_of_metadata(asked["metadata"]))
        refuse(problems_of_template(template, service.key[2], service.key[1]))
        if missing := list(not_emulated(asked)):
            raise ApiError(400, f"localcloud does not emulate {', '.join(missing)} of Cloud Run.")
        others = [max_instances(each.template) for each in service.revisions]
        if template != service.template:
            refuse(problems_of_quota(template, self._quotas, max(others, default=0)))
        self._accounts.act_as(template["spec"]["serviceAccountName"], service.key[0], _ACT_AS)
        if template != service.template:
            _ask_for_image(template["spec"]["containers"][0]["image"])
        refuse(_problems_of_traffic(service, asked))

    def _deploy(self, service: Service) -> None:
        """Start the revision that the traffic is meant for, without waiting for it."""
        revision = service.target
        service.outcome = Outcome()
        turn = self._turns.setdefault(service.key, threading.Lock())
        threading.Thread(target=self._start, args=(service, revision, turn), daemon=True).start()

    def _start(self, service: Service, revision: ServiceRevision, turn: threading.Lock) -> None:
        with turn:
            access = service.access
            outcome = self._outcome(service, revision, access)
            with self._lock:
                is_there = self._services.get(service.key) is service
                revision.outcome = outcome
                if outcome.status == "True":
                    service.serving = revision
                if service.target is revision:
                    service.outcome = outcome
                if is_there and service.access != access:  # changed meanwhile
                    self._instances.allow(*service.key, service.access)
            if not is_there:  # deleted meanwhile
                self._instances.remove(*service.key)

    def _outcome(self, service: Service, revision: ServiceRevision, access: Access) -> Outcome:
        image = revision.template["spec"]["containers"][0]["image"]
        revision.digest = revision.digest or self._registry.digest_of(image)
        if not revision.digest:
            start = f"Revision '{revision.name}' is not ready and cannot serve traffic."
            return Outcome("False", f"{start} Image '{image}' not found.")
        try:
            self._instances.deploy(service.definition(revision), access)
        except StartFailed as failure:
            return Outcome("False", str(failure))
        except Exception as error:  # without an outcome, gcloud would wait for ever
            traceback.print_exception(error, file=sys.stderr)
            return Outcome("False", f"Fault of the emulator, see its stderr: {type(error).__name__}: {error}")
        return Outcome("True")


def _read(body: Mapping[str, Any], project: str) -> dict[str, Any]:
    """Return a service as it was asked for, with defaults, without what the service itself sets."""
    asked = without_nulls(body)
    check_shape(asked, SERVICE, "service")
    if (asked.get("apiVersion"), asked.get("kind")) != (API_VERSION, "Service"):
        raise ApiError(400, f"apiVersion and kind must be {API_VERSION} and Service.")
    metadata = {**asked.get("metadata", {})}
    if metadata.get("namespace", project) not in (project, PROJECT_NUMBER):
        refuse([Violation("metadata.namespace", f"must be {project}, the project in the address.")])
    annotations = {k: v for k, v in metadata.get("annotations", {}).items() if k not in _SET_HERE}
    annotations.setdefault(INGRESS, "all")
    labels = {k: v for k, v in metadata.get("labels", {}).items() if k != LOCATION_LABEL}
    kept = {name: metadata[name] for name in ("name", "resourceVersion") if name in metadata}
    spec = {**asked.get("spec", {})}
    spec["template"] = filled(spec.get("template", {}))
    return {"metadata": {**kept, "labels": labels, "annotations": annotations}, "spec": spec}


def _ask_for_image(image: str) -> None:
    """Refuse a new revision unless the caller may read its image, if that is in Artifact Registry.

    Cloud Run's own account, which fetches the image, has that right in its own project by itself.
    https://cloud.google.com/artifact-registry/docs/integrate-cloud-run
    """
    if repository := repository_of(image):
        callers.need("artifactregistry.repositories.downloadArtifacts", repository)


def not_there(kind: str, key: Key) -> ApiError:
    project, region, name = key
    return ApiError(
        404, f"Resource '{name}' of kind '{kind}' in region '{region}' in project '{project}' does not exist."
    )


def _problems_of_traffic(service: Service, asked: Mapping[str, Any]) -> Iterator[Violation]:
    traffic = asked["spec"].get("traffic") or _LATEST
    template = asked["spec"]["template"]
    names = {each.name for each in service.revisions}
    if sum(each.get("percent", 0) for each in traffic) != 100:
        yield Violation("spec.traffic", "the sum of all percents should be 100.")
    for number, each in enumerate(traffic):
        name = each.get("revisionName")
        if bool(name) == bool(each.get("latestRevision")):
            yield Violation(f"spec.traffic[{number}]", "needs either a revisionName or latestRevision.")
        elif name and name not in names:
            yield Violation(f"spec.traffic[{number}].revision_name", f"Revision '{name}' is not found.")
        elif name and template != service.template:
            yield Violation(
                f"spec.traffic[{number}]",
                "localcloud does not emulate a new revision without traffic: run update-traffic --to-latest.",
            )
    wanted = template["metadata"].get("name")
    if wanted in names and template != service.template:
        yield Violation(
            "spec.template.metadata.name",
            f"Revision named '{wanted}' with different configuration already exists.",
        )
