"""Tasks for the GPU lane in a project: check, deploy, use, watch, remove.

gpu-apply and gpu-plan deploy by Terraform, gpu-deploy by gcloud; a deployment belongs to one of the two ways.
"""

from ops.cloud.log_reader import NEWEST
from ops.gpu import logs as service_logs
from ops.gpu import terraform
from ops.tasks.verb import DRY_RUN, YES, the_cloud, verb
from ops.tasks.watching import ENTRIES


@verb(help={"yes": YES, "dry_run": DRY_RUN})
def gpu_apply(c, yes=False, dry_run=False):
    """Set up the GPU lane, or change it, as terraform/gpu/ describes it."""
    terraform.apply(the_cloud(dry_run, needs_bucket=False), yes or dry_run)


@verb(
    help={"run": "key of the upload, 16 characters: its execution and its folder work/KEY/ name it"} | ENTRIES
)
def gpu_logs(c, run, severity="", since="", limit=str(NEWEST), follow=False, dry_run=False):
    """Print what the services of the GPU lane logged for an upload, in order of time."""
    cloud = the_cloud(dry_run, needs_bucket=False)
    service_logs.show_logs(cloud, run, severity, since, limit, follow)


@verb(help={"dry_run": DRY_RUN})
def gpu_plan(c, dry_run=False):
    """Show what `invoke gpu-apply` would change in the project."""
    terraform.plan(the_cloud(dry_run, needs_bucket=False))
