"""The permissions that a person needs to deploy and remove the GPU lane, with the roles that have them.

Derived from the gcloud commands of deploy.py, build.py and removals.py, as in ops/cloud/permissions.py.
"""

from ops.cloud.permissions import ALL, BILLING, POLICY, PROJECT, Right

TASKS = "gpu-build, gpu-deploy, gpu-destroy"
RIGHTS = (
    # services, and who may call them
    Right.of("run.admin", PROJECT, f"run.services.{ALL},list,{POLICY}"),
    # gpu-destroy cancels executions
    Right.of(
        "workflows.admin",
        PROJECT,
        f"workflows.workflows.{ALL},list workflows.operations.get workflows.executions.cancel,list",
    ),
    Right.of("eventarc.admin", PROJECT, f"eventarc.triggers.{ALL},list eventarc.operations.get"),
    # All else on a bucket comes with it: owners and editors of the project have that by its first policy.
    Right.of("storage.admin", PROJECT, "storage.buckets.create,delete,list"),
    # the lane's accounts, and services that run as these
    Right.of("iam.serviceAccountAdmin", PROJECT, "iam.serviceAccounts.create,delete,list"),
    Right.of("iam.serviceAccountUser", PROJECT, "iam.serviceAccounts.actAs"),
    # the repository of images, or the lane's images in that of others; who deploys one must read it, too
    Right.of(
        "artifactregistry.admin",
        PROJECT,
        f"artifactregistry.repositories.{ALL},downloadArtifacts,list,{POLICY} "
        "artifactregistry.dockerimages.list artifactregistry.packages.list "
        "artifactregistry.tags.delete,list artifactregistry.versions.delete",
    ),
    Right.of("cloudbuild.builds.editor", PROJECT, "cloudbuild.builds.create,get"),
    # logs of builds; metrics of logs that an older lane left
    Right.of("logging.viewer", PROJECT, "logging.logEntries.list logging.logMetrics.list"),
    # APIs and quotas
    Right.of(
        "serviceusage.serviceUsageAdmin",
        PROJECT,
        "serviceusage.services.enable,list,use cloudquotas.quotas.get",
    ),
    # dashboard and alerts
    Right.of(
        "monitoring.editor",
        PROJECT,
        f"monitoring.alertPolicies.{ALL},list monitoring.dashboards.{ALL},list "
        f"monitoring.notificationChannels.{ALL},list",
    ),
    # rights of the lane's accounts in the project
    Right.of("resourcemanager.projectIamAdmin", PROJECT, f"resourcemanager.projects.get,{POLICY}"),
    Right.of("billing.costsManager", BILLING, f"billing.budgets.{ALL},list"),
)
