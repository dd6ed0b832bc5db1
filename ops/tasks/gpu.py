"""Tasks for the GPU lane in a project: check, deploy, use, watch, remove."""

from ops.cloud.log_reader import NEWEST
from ops.environment import read_settings
from ops.gpu import build, checkup, commands, smoke, status, terraform
from ops.gpu import logs as service_logs
from ops.shell import Shell
from ops.tasks.images import NO_CACHE
from ops.tasks.verb import DRY_RUN, EXP_ID, OUT, YES, the_cloud, verb
from ops.tasks.watching import ENTRIES

UPLOADS = 10


@verb(help={"yes": YES, "dry_run": DRY_RUN})
def gpu_apply(c, yes=False, dry_run=False):
    """Set up the GPU lane, or change it, as terraform/gpu/ describes it."""
    terraform.apply(the_cloud(dry_run, needs_bucket=False), yes or dry_run)


@verb(
    help={
        "force": "build although the images of this commit are there",
        "no_cache": NO_CACHE,
        "dry_run": DRY_RUN,
    }
)
def gpu_build(c, force=False, no_cache=False, dry_run=False):
    """Build the images of the GPU lane with Cloud Build, and print their digests."""
    build.build(the_cloud(dry_run, needs_bucket=False), force, no_cache)


@verb(help={"dry_run": DRY_RUN})
def gpu_check(c, dry_run=False):
    """Check that the project is ready for the GPU lane; print the command for what is missing."""
    checkup.examine(Shell(dry_run), read_settings())


@verb(
    help={
        "exp_id": "upload this experiment, whose observed data a .csv then replaces, e.g. demo",
        "yes": YES,
        "dry_run": DRY_RUN,
    }
)
def gpu_deploy(c, exp_id="", yes=False, dry_run=False):
    """Deploy the GPU lane by gcloud, or change what differs from the settings."""
    commands.start_deployment(the_cloud(dry_run, needs_bucket=False), exp_id, yes or dry_run)


@verb(
    help={
        "delete_data": "delete results, too, and cancel uploads being worked on; as DELETE_DATA=true",
        "yes": YES,
        "dry_run": DRY_RUN,
    }
)
def gpu_destroy(c, delete_data=False, yes=False, dry_run=False):
    """Remove the GPU lane with its images, and check that nothing is left."""
    commands.start_removal(Shell(dry_run), read_settings(), yes or dry_run, delete_data)


@verb(
    help={"run": "key of the upload, 16 characters: its execution and its folder work/KEY/ name it"} | ENTRIES
)
def gpu_logs(c, run, severity="", since="", limit=str(NEWEST), follow=False, dry_run=False):
    """Print what the services of the GPU lane logged for an upload, in order of time."""
    cloud = the_cloud(dry_run, needs_bucket=False)
    service_logs.show_logs(cloud, run, severity, since, limit, follow)


@verb(help={"out": OUT, "dry_run": DRY_RUN})
def gpu_plan(c, out=None, dry_run=False):
    """Show what `invoke gpu-apply` would change in the project."""
    terraform.plan(the_cloud(dry_run, needs_bucket=False), out)


@verb(help={"exp_id": f"upload this experiment instead of a sentence: {EXP_ID}", "dry_run": DRY_RUN})
def gpu_smoke(c, exp_id="", dry_run=False):
    """Upload a sentence, or an experiment, to the GPU lane; print its result and the seconds of each step."""
    smoke.smoke(the_cloud(dry_run, needs_bucket=False), exp_id)


@verb(help={"limit": f"number of newest uploads, or all; default {UPLOADS}", "dry_run": DRY_RUN})
def gpu_status(c, limit=str(UPLOADS), dry_run=False):
    """Show the GPU lane: its services, what is in its buckets, and the last uploads with their results."""
    status.show_status(the_cloud(dry_run, needs_bucket=False), limit)
