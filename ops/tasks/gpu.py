"""Tasks for the GPU lane: build its images, deploy it, remove it."""

from ops.environment import read_settings
from ops.gpu import build, commands
from ops.shell import Shell
from ops.tasks.images import NO_CACHE
from ops.tasks.verb import DRY_RUN, YES, the_cloud, verb


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
