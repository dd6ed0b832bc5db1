"""The images of the GPU lane by their digests, built where they are missing."""

from collections.abc import Mapping

from ops.cloud.cloud import Cloud
from ops.failures import UserError
from ops.gcloud import GcloudError, Refusal
from ops.gpu.names import SERVICES, Names
from ops.terminal import counted

BUILD = "invoke gpu-build"


def digests(cloud: Cloud, names: Names) -> dict[str, str]:
    """Return the image of each of SERVICES that IMAGE_TAG names, with its digest; without those missing.

    An image in a registry other than Google's has its tag: gcloud does not know it. So has every image in a
    dry run.
    """
    tag = cloud.settings.image_tag
    if not names.images.partition("/")[0].endswith("docker.pkg.dev"):
        return {name: names.image(name, tag) for name in SERVICES}
    try:
        words = ["artifacts", "docker", "images", "list", names.images, "--include-tags", *cloud.in_project]
        listed = cloud.read_json(words, echo=False)
    except GcloudError as error:
        if error.refusal not in (Refusal.MISSING, Refusal.DISABLED):
            raise
        return {}
    if listed is None:
        return {name: names.image(name, tag) for name in SERVICES}
    tagged = {
        each["package"].rpartition("/")[2]: f"{each['package']}@{each['version']}"
        for each in listed
        if tag in _tags(each)
    }
    return {name: tagged[name] for name in SERVICES if name in tagged}


def _tags(image: dict) -> list[str]:
    tags = image.get("tags") or []
    return tags if isinstance(tags, list) else [tag.strip() for tag in tags.split(",")]


def missing_of(found: Mapping[str, str]) -> list[str]:
    """Return which of SERVICES have no image."""
    return [name for name in SERVICES if name not in found]


def build(cloud: Cloud, names: Names) -> dict[str, str]:
    """Build the images, and return them with their digests.

    Raises
    ------
    UserError
        Images are missing; it names them, and the command that builds them.
    """
    found = digests(cloud, names)
    if missing := missing_of(found):
        what = f"{counted(len(missing), 'image')} not found in {names.images} with the tag"
        raise UserError(f"{what} {cloud.settings.image_tag}: {', '.join(missing)}", fix=BUILD)
    return found
