"""Tasks for the GPU lane: its images; its deployment, and what it costs, does and leaves."""

from ops.gpu import build
from ops.tasks.images import NO_CACHE
from ops.tasks.verb import DRY_RUN, the_cloud, verb


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
