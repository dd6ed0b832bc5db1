"""Tasks for the images of the stages: build here or with Cloud Build, test."""

from ops.environment import read_settings
from ops.images import cloud_build
from ops.images import images as local_images
from ops.shell import Shell
from ops.tasks.verb import DRY_RUN, the_cloud, verb

NO_CACHE = "build every layer again"


@verb(help={"dry_run": DRY_RUN})
def build_dev(c, dry_run=False):
    """Build the local image, for `invoke run --docker`."""
    local_images.build_dev(Shell(dry_run), read_settings())


@verb(
    help={
        "target": "cloud, or local for an image of `invoke run --docker`, with the tag local",
        "no_push": "build and test it, do not push it",
        "no_cache": NO_CACHE,
        "dry_run": DRY_RUN,
    }
)
def build_local(c, target="cloud", no_push=False, no_cache=False, dry_run=False):
    """Build the cloud image on this machine, test it and push it."""
    local_images.build_local(Shell(dry_run), read_settings(), not no_push, no_cache, target)


@verb(
    help={
        "wait": "print its log until it ends, and fail if it fails",
        "no_cache": NO_CACHE,
        "dry_run": DRY_RUN,
    }
)
def build(c, wait=False, no_cache=False, dry_run=False):
    """Build, test and push the cloud image with Cloud Build."""
    cloud_build.submit(the_cloud(dry_run), wait, no_cache)


@verb(help={"ongoing": "only unfinished builds", "dry_run": DRY_RUN})
def build_status(c, ongoing=False, dry_run=False):
    """Show the newest builds of Cloud Build and their results."""
    cloud_build.show_builds(the_cloud(dry_run, needs_bucket=False), ongoing)


@verb(
    help={"image": "an image instead of the local one, e.g. one of `invoke build-local`", "dry_run": DRY_RUN}
)
def image_test(c, image="", dry_run=False):
    """Check the contents of an image: packages, entry points, user, no token."""
    local_images.check(Shell(dry_run), image)
