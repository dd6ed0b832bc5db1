"""The images of the GPU lane by their digests; build.py builds them."""

from collections.abc import Mapping
from typing import Any

from ops.cloud.cloud import Cloud
from ops.gcloud import GcloudError, Refusal
from ops.gpu.names import SERVICES, Names

NO_IMAGES = (Refusal.MISSING, Refusal.DISABLED)  # no repository yet, or not even the API


def digests(cloud: Cloud, names: Names) -> dict[str, str]:
    """Return the image of each of SERVICES that IMAGE_TAG names, with its digest; without those missing.

    Where gcloud cannot tell, each has its tag.
    """
    tag = cloud.settings.image_tag
    found = tagged(cloud, names, tag)
    return {name: names.image(name, tag) for name in SERVICES} if found is None else found


def tagged(cloud: Cloud, names: Names, tag: str) -> dict[str, str] | None:
    """Return the image of each of SERVICES that has a tag, with its digest.

    None where gcloud cannot tell: in a registry other than Google's, and in a dry run.
    """
    if not names.is_google:
        return None
    try:
        words = ["artifacts", "docker", "images", "list", names.images, "--include-tags", *cloud.in_project]
        listed = cloud.read_json(words, echo=False)
    except GcloudError as error:
        if error.refusal not in NO_IMAGES:
            raise
        return {}
    if listed is None:
        return None
    found = {
        each["package"].rpartition("/")[2]: f"{each['package']}@{each['version']}"
        for each in listed
        if tag in _tags(each)
    }
    return {name: found[name] for name in SERVICES if name in found}


def _tags(image: dict[str, Any]) -> list[str]:
    """Return the tags of an image; some versions of gcloud print them as one text."""
    tags = image.get("tags") or []
    return tags if isinstance(tags, list) else [tag.strip() for tag in tags.split(",")]


def missing_of(found: Mapping[str, str]) -> list[str]:
    """Return which of SERVICES have no image."""
    return [name for name in SERVICES if name not in found]
