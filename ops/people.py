"""What people may do: the permissions that each kind of work asks for, and the roles that have them.

`invoke docs` writes the roles into docs/access.md and docs/gpu.md, `invoke doctor --cloud` and
`invoke gpu-check` ask for the permissions, and the people of a rehearsal have these roles and no others. The
table follows from the gcloud commands of the tasks, the requests that these make, and Terraform's resources.
What each request needs: https://cloud.google.com/iam/docs/permissions-reference.
"""

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

PROJECT, BUCKET, REGISTRY, SECRET = "the project", "the bucket", "the registry", "the secret"
BATCH, BUILDER, BUILD = "the Batch account", "the builder's account", "the build account"
STATE, BILLING = "the bucket of the state", "the billing account"
INPUT, MODELS, OUTPUT = "the input bucket", "the models bucket", "the output bucket"  # of the GPU lane
PAGE_WIDTH = 120  # columns of a page


@dataclass(frozen=True)
class Right:
    """A role on a resource, without roles/, and the permissions of it that are used.

    Attributes
    ----------
    only_for : str
        The part of the work that needs it; "" if all of it does.
    without : str
        A resource; the right is needed only as long as that does not exist.
    note : str
        Remark on a page; by default `only_for`.
    made : tuple of str
        Further permissions of the role that are used on what the person creates with it. They are not asked
        for on the project: its owner has them only there, by the policy that Google gives each bucket.
    """

    role: str
    on: str
    permissions: tuple[str, ...]
    only_for: str = ""
    without: str = ""
    note: str = ""
    made: tuple[str, ...] = ()

    @classmethod
    def of(cls, role: str, on: str, permissions: str, made: str = "", **more: str) -> "Right":
        """Return a right, whose permissions are written as "batch.jobs.get,list batch.tasks.list"."""
        return cls(role, on, _named(permissions), made=_named(made), **more)

    @property
    def place(self) -> tuple[str, str]:
        """Return the role and what it is on, which several rights may share."""
        return self.role, self.on


@dataclass(frozen=True)
class Work:
    """A kind of work: its tasks, its rights, and the work whose rights it needs, too."""

    tasks: tuple[str, ...]
    rights: tuple[Right, ...]
    after: str = ""
    is_needed: bool = False  # for runs in the cloud, or to deploy the GPU lane


def _named(permissions: str) -> tuple[str, ...]:
    split = [word.rpartition(".") for word in permissions.split()]
    return tuple(f"{kind}.{verb}" for kind, _, verbs in split for verb in verbs.split(","))


ALL = "create,delete,get,update"
POLICY = "getIamPolicy,setIamPolicy"
WORK = {
    "look": Work(
        ("status", "logs", "runs", "download", "workflow-list", "job-list"),
        (
            Right.of("workflows.viewer", PROJECT, "workflows.executions.get,list"),
            Right.of("batch.jobsViewer", PROJECT, "batch.jobs.get,list batch.tasks.list"),
            Right.of("logging.viewer", PROJECT, "logging.logEntries.list"),
            Right.of(
                "monitoring.viewer",
                PROJECT,
                "monitoring.dashboards.get,list monitoring.timeSeries.list",
                only_for="the dashboards",
            ),
            Right.of("storage.objectViewer", BUCKET, "storage.objects.get,list"),
        ),
        is_needed=True,
    ),
    "run": Work(
        ("run", "workflow-cancel", "cost"),
        (
            Right.of("workflows.viewer", PROJECT, "workflows.workflows.get"),
            Right.of("workflows.invoker", PROJECT, "workflows.executions.cancel,create"),
            # Of jobs.cancel, Google's page names the role, which has nothing else that ends a job:
            # https://cloud.google.com/batch/docs/cancel-job
            Right.of("batch.jobsEditor", PROJECT, "batch.jobs.delete", note="to end jobs"),
            Right.of(
                "artifactregistry.reader",
                REGISTRY,
                "artifactregistry.repositories.get artifactregistry.tags.list artifactregistry.versions.get",
            ),
            Right.of("storage.legacyBucketReader", BUCKET, "storage.buckets.get"),
            Right.of("storage.objectUser", BUCKET, "storage.objects.create,delete"),  # delete: to overwrite
            Right.of("secretmanager.viewer", SECRET, "secretmanager.versions.get", note="with a token"),
        ),
        after="look",
        is_needed=True,
    ),
    "run single jobs": Work(
        ("job",),
        (
            Right.of("batch.jobsEditor", PROJECT, "batch.jobs.create"),
            Right.of(
                "iam.serviceAccountUser",
                BATCH,
                "iam.serviceAccounts.actAs",
                note="on this account alone",
            ),
            Right.of(
                "iam.serviceAccountUser",
                BUILDER,
                "iam.serviceAccounts.actAs",
                only_for="stage A",
                note="for stage A; it gives access to the token",
            ),
        ),
        after="run",
    ),
    "check": Work(
        ("doctor --cloud",),
        (
            Right.of("workflows.viewer", PROJECT, "resourcemanager.projects.get"),
            Right.of("iam.serviceAccountViewer", PROJECT, "iam.serviceAccounts.get,list"),
            Right.of(
                "compute.viewer",
                PROJECT,
                "compute.machineTypes.get compute.projects.get compute.regions.get compute.subnetworks.get "
                "serviceusage.services.list",
            ),
            Right.of("cloudquotas.viewer", PROJECT, "cloudquotas.quotas.get"),
        ),
        after="run",
    ),
    "report": Work(
        ("doctor --report",),
        (
            # Narrower are browser, cloudbuild.builds.viewer and run.viewer, but who may not administer the
            # registry reads its policy by this role alone:
            # https://cloud.google.com/iam/docs/roles-permissions/artifactregistry
            Right.of(
                "iam.securityReviewer",
                PROJECT,
                "artifactregistry.repositories.getIamPolicy cloudbuild.builds.list "
                "resourcemanager.projects.getIamPolicy run.services.list",
                note="to see builds, services and who has which roles",
            ),
        ),
        after="check",
    ),
    "build": Work(
        ("build",),
        (
            Right.of("cloudbuild.builds.editor", PROJECT, "cloudbuild.builds.create,get,list"),
            # https://cloud.google.com/build/docs/securing-builds/configure-access-to-resources
            Right.of("serviceusage.serviceUsageConsumer", PROJECT, "serviceusage.services.use"),
            Right.of(
                "logging.viewer",
                PROJECT,
                "logging.logEntries.list",
                only_for="--wait",
                note="for `--wait`",
            ),
            Right.of("iam.serviceAccountUser", BUILD, "iam.serviceAccounts.actAs"),
            Right.of("storage.legacyBucketReader", BUCKET, "storage.buckets.get"),
            Right.of("storage.objectUser", BUCKET, "storage.objects.create"),
        ),
    ),
    "set the token": Work(
        ("secret-set", "secret-check"),
        (
            Right.of(
                "secretmanager.secretVersionManager",
                SECRET,
                "secretmanager.versions.add,disable,get,list",
            ),
            Right.of(
                "secretmanager.admin",
                PROJECT,
                "secretmanager.secrets.create secretmanager.versions.add,list",
                without=SECRET,
                note="to make the secret",
            ),
            Right.of(
                "secretmanager.secretAccessor",
                SECRET,
                "secretmanager.versions.access",
                only_for="secret-check",
                note="for `secret-check`, which reads it",
            ),
        ),
    ),
    "deploy": Work(
        ("tf-apply", "tf-destroy"),
        (
            Right.of(
                "editor",
                PROJECT,
                "resourcemanager.projects.get serviceusage.services.enable,get,list "
                f"compute.networks.create,delete,get,updatePolicy compute.subnetworks.{ALL} "
                f"compute.routers.{ALL} compute.firewalls.{ALL} "
                "compute.globalOperations.get compute.regionOperations.get "
                f"workflows.workflows.{ALL} workflows.operations.get logging.logMetrics.{ALL} "
                f"monitoring.alertPolicies.{ALL} monitoring.dashboards.{ALL} "
                f"monitoring.notificationChannels.{ALL} "
                "iam.serviceAccounts.actAs",  # of the workflow's account
            ),
            Right.of("resourcemanager.projectIamAdmin", PROJECT, f"resourcemanager.projects.{POLICY}"),
            Right.of("iam.serviceAccountAdmin", PROJECT, f"iam.serviceAccounts.{ALL},{POLICY}"),
            Right.of("artifactregistry.admin", PROJECT, f"artifactregistry.repositories.{ALL},{POLICY}"),
            Right.of(
                "secretmanager.admin", SECRET, f"secretmanager.secrets.get,{POLICY}", note="with a token"
            ),
            Right.of("storage.admin", BUCKET, f"storage.buckets.get,{POLICY}"),
            Right.of("storage.admin", STATE, "storage.objects.create,delete,get,list"),
            Right.of("billing.costsManager", BILLING, f"billing.budgets.{ALL}", note="for a budget"),
        ),
    ),
}
GPU_WORK = {
    "upload": Work(
        (),
        (
            Right.of("storage.objectUser", INPUT, "storage.objects.create,delete,get,list"),
            Right.of("storage.objectViewer", OUTPUT, "storage.objects.get,list", note="to read results"),
        ),
    ),
    "watch": Work(
        ("gpu-status", "gpu-logs"),
        (
            Right.of("workflows.viewer", PROJECT, "workflows.executions.get,list"),
            Right.of("run.viewer", PROJECT, "run.services.list"),
            Right.of("storage.objectViewer", MODELS, "storage.objects.list"),
            Right.of("logging.viewer", PROJECT, "logging.logEntries.list"),
        ),
        after="upload",
    ),
    "smoke": Work(
        ("gpu-smoke",),
        (
            Right.of(
                "workflows.invoker",
                PROJECT,
                "workflows.executions.create",
                note="the workflow asks the services for their health",
            ),
        ),
        after="watch",
    ),
    "deploy the lane": Work(
        ("gpu-build", "gpu-deploy", "gpu-destroy"),
        (
            # services, and who may call them
            Right.of("run.admin", PROJECT, f"run.services.{ALL},list,{POLICY}"),
            # gpu-destroy cancels executions
            Right.of(
                "workflows.admin",
                PROJECT,
                f"workflows.workflows.{ALL},list workflows.operations.get workflows.executions.cancel,list",
            ),
            Right.of("eventarc.admin", PROJECT, f"eventarc.triggers.{ALL},list eventarc.operations.get"),
            Right.of(
                "storage.admin",
                PROJECT,
                "storage.buckets.create,delete,list",
                made=f"storage.buckets.get,update,{POLICY} storage.objects.create,delete,list "
                "storage.managedFolders.list",
            ),
            # the lane's accounts, and services that run as these
            Right.of("iam.serviceAccountAdmin", PROJECT, "iam.serviceAccounts.create,delete,list"),
            Right.of("iam.serviceAccountUser", PROJECT, "iam.serviceAccounts.actAs"),
            # the repository of images, or the lane's images in that of others; who deploys one must read it
            Right.of(
                "artifactregistry.admin",
                PROJECT,
                f"artifactregistry.repositories.{ALL},downloadArtifacts,list,{POLICY} "
                "artifactregistry.dockerimages.list artifactregistry.packages.delete,list "
                "artifactregistry.tags.create,delete,get",
            ),
            Right.of("cloudbuild.builds.editor", PROJECT, "cloudbuild.builds.create,get,list"),
            # logs of builds; metrics of logs that an older lane left
            Right.of("logging.viewer", PROJECT, "logging.logEntries.list logging.logMetrics.list"),
            # APIs and quotas
            Right.of(
                "serviceusage.serviceUsageAdmin",
                PROJECT,
                "serviceusage.services.enable,get,list,use cloudquotas.quotas.get",
            ),
            # dashboard and alerts
            Right.of(
                "monitoring.editor",
                PROJECT,
                "monitoring.alertPolicies.create,delete,list,update "
                "monitoring.dashboards.create,delete,list,update "
                "monitoring.notificationChannels.create,delete,list",
            ),
            # rights of the lane's accounts in the project
            Right.of("resourcemanager.projectIamAdmin", PROJECT, f"resourcemanager.projects.get,{POLICY}"),
            Right.of("billing.costsManager", BILLING, f"billing.budgets.{ALL},list", note="for a budget"),
        ),
        is_needed=True,
    ),
}


def rights_of(name: str) -> Iterator[Right]:
    """Yield all rights that a kind of work needs, those of the work before it first."""
    work = (WORK | GPU_WORK)[name]
    if work.after:
        yield from rights_of(work.after)
    yield from work.rights


def roles_of(name: str) -> list[tuple[str, str]]:
    """Return the roles that a kind of work needs, each with the resource that it is on."""
    return list(dict.fromkeys(right.place for right in rights_of(name)))


def listed(works: Mapping[str, Work]) -> str:
    """Return the list of a page: for each work its tasks, and the roles that it adds, by resource."""
    return "".join(f"{_wrapped(_line(name, work))}\n" for name, work in works.items())


def _line(name: str, work: Work) -> str:
    tasks = f" ({', '.join(f'`{task}`' for task in work.tasks)})" if work.tasks else ""
    also = f"the rights to {work.after}, and " if work.after else ""
    known = roles_of(work.after) if work.after else []
    added = [right for right in work.rights if right.place not in known]
    places = dict.fromkeys(right.on for right in added)
    return f"* **{name}**{tasks}: {also}{'; '.join(_on(place, added) for place in places)}"


def _on(place: str, rights: list[Right]) -> str:
    notes: dict[str, str] = {}  # none for a role that all of the work needs
    for right in rights:
        if right.on == place:
            note = right.note or (f"for {right.only_for}" if right.only_for else "")
            notes[right.role] = notes.get(right.role, note) and note
    roles = (f"`{role}`{f' ({note})' if note else ''}" for role, note in notes.items())
    return f"on {place} {', '.join(roles)}"


def _wrapped(line: str) -> str:
    return textwrap.fill(
        line, PAGE_WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
