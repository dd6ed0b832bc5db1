"""The permissions that people need: for each kind of work of docs/access.md, what its tasks really ask for.

Derived from the gcloud commands of the tasks, the requests that these make, and Terraform's resources. Each
permission is with the role of docs/access.md that gives it, and the resource that it is given on; a test
compares both. What each request needs: https://cloud.google.com/iam/docs/permissions-reference.
"""

from dataclasses import dataclass

PROJECT, BUCKET, REGISTRY, SECRET = "the project", "the bucket", "the registry", "the secret"
BATCH, BUILDER, BUILD = "the Batch account", "the builder's account", "the build account"
STATE, BILLING = "the bucket of the state", "the billing account"


@dataclass(frozen=True)
class Right:
    """A role on a resource, without roles/, and the permissions of it that are used.

    Attributes
    ----------
    only_for : str
        The part of the work that needs it; "" if all of it does.
    without : str
        A resource; the right is needed only as long as that does not exist.
    """

    role: str
    on: str
    permissions: tuple[str, ...]
    only_for: str = ""
    without: str = ""

    @classmethod
    def of(cls, role: str, on: str, permissions: str, **more: str) -> "Right":
        """Return a right, whose permissions are written as "batch.jobs.get,list batch.tasks.list"."""
        split = [word.rpartition(".") for word in permissions.split()]
        named = (f"{kind}.{verb}" for kind, _, verbs in split for verb in verbs.split(","))
        return cls(role, on, tuple(named), **more)


@dataclass(frozen=True)
class Work:
    """A kind of work: its tasks, its rights, and the work whose rights it needs, too."""

    tasks: str
    rights: tuple[Right, ...]
    after: str = ""
    is_needed: bool = False  # for runs in the cloud


ALL = "create,delete,get,update"
POLICY = "getIamPolicy,setIamPolicy"
WORKS = {
    "look": Work(
        "status, logs, runs, download, workflow-list, job-list",
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
        "run, workflow-cancel, cost",
        (
            Right.of("workflows.viewer", PROJECT, "workflows.workflows.get"),
            Right.of("workflows.invoker", PROJECT, "workflows.executions.cancel,create"),
            # Of jobs.cancel, Google's page names the role, which has nothing else that ends a job:
            # https://cloud.google.com/batch/docs/cancel-job
            Right.of("batch.jobsEditor", PROJECT, "batch.jobs.delete"),
            Right.of(
                "artifactregistry.reader",
                REGISTRY,
                "artifactregistry.repositories.get artifactregistry.tags.list artifactregistry.versions.get",
            ),
            Right.of("storage.legacyBucketReader", BUCKET, "storage.buckets.get"),
            Right.of("storage.objectUser", BUCKET, "storage.objects.create,delete"),  # delete: to overwrite
            Right.of("secretmanager.viewer", SECRET, "secretmanager.versions.get"),
        ),
        after="look",
        is_needed=True,
    ),
    "run single jobs": Work(
        "job",
        (
            Right.of("batch.jobsEditor", PROJECT, "batch.jobs.create"),
            Right.of("iam.serviceAccountUser", BATCH, "iam.serviceAccounts.actAs"),
            Right.of("iam.serviceAccountUser", BUILDER, "iam.serviceAccounts.actAs", only_for="stage A"),
        ),
        after="run",
    ),
    "check": Work(
        "doctor --cloud",
        (
            Right.of("workflows.viewer", PROJECT, "resourcemanager.projects.get"),
            Right.of("serviceusage.serviceUsageViewer", PROJECT, "serviceusage.services.list"),
            # get: whether an account on which nothing is allowed is there at all
            Right.of("iam.serviceAccountViewer", PROJECT, "iam.serviceAccounts.get,list"),
            Right.of(
                "compute.viewer",
                PROJECT,
                "compute.machineTypes.get compute.projects.get compute.regions.get compute.subnetworks.get",
            ),
            Right.of("cloudquotas.viewer", PROJECT, "cloudquotas.quotas.get"),
        ),
        after="run",
    ),
    "build": Work(
        "build",
        (
            Right.of("cloudbuild.builds.editor", PROJECT, "cloudbuild.builds.create,get,list"),
            # https://cloud.google.com/build/docs/securing-builds/configure-access-to-resources
            Right.of("serviceusage.serviceUsageConsumer", PROJECT, "serviceusage.services.use"),
            Right.of("logging.viewer", PROJECT, "logging.logEntries.list", only_for="--wait"),
            Right.of("iam.serviceAccountUser", BUILD, "iam.serviceAccounts.actAs"),
            Right.of("storage.legacyBucketReader", BUCKET, "storage.buckets.get"),
            Right.of("storage.objectUser", BUCKET, "storage.objects.create,get"),
        ),
    ),
    "set the token": Work(
        "secret-set, secret-check",
        (
            Right.of(
                "secretmanager.secretVersionManager",
                SECRET,
                "secretmanager.versions.add,disable,get,list",
            ),
            Right.of(
                "secretmanager.admin",
                PROJECT,
                "secretmanager.secrets.create secretmanager.versions.add",
                without=SECRET,
            ),
            Right.of(
                "secretmanager.secretAccessor",
                SECRET,
                "secretmanager.versions.access",
                only_for="secret-check",
            ),
        ),
    ),
    "deploy": Work(
        "tf-apply, tf-destroy",
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
            Right.of("secretmanager.admin", SECRET, f"secretmanager.secrets.get,{POLICY}"),
            Right.of("storage.admin", BUCKET, f"storage.buckets.get,{POLICY}"),
            Right.of("storage.admin", STATE, "storage.objects.create,delete,get,list"),
            Right.of("billing.costsManager", BILLING, f"billing.budgets.{ALL}"),
        ),
    ),
}
