"""Build the images of the GPU lane with Cloud Build, and create what that needs.

They come before a deployment, which names them by digest, so Terraform has neither them nor their repository,
nor the account and the bucket of builds. What exists is left as it is: repeat a call that was stopped.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ops.cloud.cloud import Cloud
from ops.failures import UserError
from ops.gcloud import AT_ONCE, in_parallel
from ops.gpu import images
from ops.gpu.lane import as_option, labels_of
from ops.gpu.names import SERVICES, Names
from ops.gpu.steps import ACCOUNT_NOT_READY, Command, Step, one_by_one, run_all
from ops.images.build_log import FINISHED, POLL_SECONDS, follow
from ops.images.cloud_build import (
    MOST_LOOKED_AT,
    TAG,
    BuildRequest,
    builders,
    rendered,
    send,
    warn_if_dirty,
)
from ops.images.images import build_arguments
from ops.names import COMPONENT
from ops.settings import ROOT
from ops.terminal import nearest

CONFIG = ROOT / "docker" / "cloudbuild.services.yaml"
ARGUMENTS = ("BASE_IMAGE", "COMMIT", "VERSION", "WITH_PARQUET")  # of the Dockerfile, for the services
APIS = ("artifactregistry", "cloudbuild", "cloudresourcemanager", "iam", "logging", "storage")
WRITES_LOGS, PUSHES, READS = (
    f"roles/{role}" for role in ("logging.logWriter", "artifactregistry.writer", "storage.objectViewer")
)
SOURCE_DAYS = 7  # that an uploaded working tree is kept
KEEP_IMAGES, KEEP_IMAGES_DAYS = 10, 90  # as terraform/variables.tf for the Batch lane
# Rights of a new account take a minute or two.
NO_RIGHT_YET, MOST_TRIES, PAUSE_SECONDS = "storage.objects.get", 4, 45.0


def build(
    cloud: Cloud,
    force: bool = False,
    no_cache: bool = False,
    poll_seconds: float = POLL_SECONDS,
    pause_seconds: float = PAUSE_SECONDS,
) -> None:
    """Build the images of this working tree, follow the build, and print their digests.

    Where the images of this commit are there already, IMAGE_TAG is moved to them, and nothing is built unless
    `force` is set. A build of the commit that is under way is followed. Files that differ from the commit are
    built each time.

    Raises
    ------
    UserError
        A setting is missing, gcloud was refused something, or the build failed.
    """
    names = Names.of(cloud.settings)
    _refuse_another_location(names)
    request = _request(cloud, names, no_cache)
    warn_if_dirty(request)
    tag = request.substitutions["_COMMIT_TAG"]
    is_commit = tag == request.substitutions["_COMMIT"] and not tag.endswith("-dirty")
    built = images.tagged(cloud, names, tag) if is_commit and not force else None
    if built and not images.missing_of(built):
        _use(cloud, names, tag, built)
        return
    has_new_rights = _prepare(cloud, names)
    under_way = None if force or not is_commit else _under_way(cloud, request)
    for tries_left in reversed(range(MOST_TRIES)):
        try:
            follow(cloud, under_way or send(cloud, request), poll_seconds)
            return
        except UserError as error:
            if not (has_new_rights and tries_left and NO_RIGHT_YET in str(error)):
                raise
            under_way = None
            print(f"{error}\nits rights are new; submitted again in {pause_seconds:.0f} s", flush=True)
            time.sleep(pause_seconds)


def _refuse_another_location(names: Names) -> None:
    """Refuse a registry of Google in another place: the repository is made in the region."""
    host = names.images.partition("/")[0]
    own = f"{names.region}-docker.pkg.dev"
    if names.is_google and host != own:
        raise UserError(
            f"REGISTRY_HOST={host}: builds push to {own}, the registry of REGION; leave REGISTRY_HOST "
            "empty, or push the images there yourself"
        )


def _use(cloud: Cloud, names: Names, tag: str, built: Mapping[str, str]) -> None:
    """Let IMAGE_TAG name images that are there, and print them with their digests."""
    newest = cloud.settings.image_tag
    named = images.digests(cloud, names)
    add = ["artifacts", "docker", "tags", "add"]
    moves = [
        [*add, names.image(service, tag), names.image(service, newest), *cloud.in_project]
        for service in SERVICES
        if named.get(service) != built[service]
    ]
    run_all(cloud, [Step("move the tag", one_by_one(moves))], None)
    print(f"the images of {tag} are there, and {newest} names them; --force builds them again")
    print("\n".join(built.values()), flush=True)


def _request(cloud: Cloud, names: Names, no_cache: bool) -> BuildRequest:
    settings = cloud.settings
    arguments = {name: value for name, value in build_arguments(settings).items() if name in ARGUMENTS}
    return BuildRequest(
        f"{names.images}/{{{','.join(SERVICES)}}}:{settings.image_tag}",
        CONFIG,
        {**builders(settings, arguments, no_cache), "_IMAGES": names.images},
        f"gs://{names.build_bucket}/source",
        names.build_account,
    )


def _under_way(cloud: Cloud, request: BuildRequest) -> dict[str, Any] | None:
    """Return an unfinished build of the same commit and tag."""
    words = ["builds", "list", *cloud.in_project, "--region", cloud.settings.build_region]
    words += ["--filter", f"tags={TAG}", "--limit", str(MOST_LOOKED_AT)]
    same = {key: request.substitutions[key] for key in ("_IMAGES", "_COMMIT_TAG", "_TAG")}
    for each in cloud.read_json(words, echo=False) or []:
        if each["status"] not in FINISHED and same.items() <= each.get("substitutions", {}).items():
            print(f"build {each['id']} of this commit is under way", flush=True)
            return each
    return None


@dataclass(frozen=True)
class _Found:
    """What a build needs and finds there."""

    has_repository: bool = False
    is_ours: bool = False  # the repository: not one that GPU_REPO_NAME names and somebody else has made
    has_policies: bool = False
    has_account: bool = False
    bucket: dict[str, Any] = field(default_factory=dict)
    grants: frozenset[str] = frozenset()  # roles of the account, wherever


def _prepare(cloud: Cloud, names: Names) -> bool:
    """Create what is missing; return whether the account got rights just now."""
    enable = ["services", "enable", *(f"{api}.googleapis.com" for api in APIS), *cloud.in_project]
    run_all(cloud, [Step("enable APIs", [[enable]])], None)
    found = _look(cloud, names)
    grants = _grants(cloud, names, found)
    create = [_repository(cloud, names, found), _account(cloud, names, found), _bucket(cloud, names, found)]
    steps = [
        Step("create what builds need", [chain for chain in create if chain]),
        Step("grant rights", one_by_one(grants), **ACCOUNT_NOT_READY),
    ]
    run_all(cloud, steps, None)
    return bool(grants)


def _look(cloud: Cloud, names: Names) -> _Found:
    """Return what is there; in a dry run nothing is."""
    project, location, bucket = cloud.in_project, cloud.in_region, f"gs://{names.build_bucket}"
    asked: dict[str, Command] = {
        "accounts": ["iam", "service-accounts", "list", *project],
        "bucket": ["storage", "buckets", "describe", bucket, *project],
    }
    policies: dict[str, Command] = {
        "of the project": ["projects", "get-iam-policy", cloud.project],
        "of the bucket": ["storage", "buckets", "get-iam-policy", bucket],
    }
    if names.is_google:
        words = ["artifacts", "repositories"]
        asked["repository"] = [*words, "describe", names.repository, *location]
        policies["of the repository"] = [*words, "get-iam-policy", names.repository, *location]
    calls = [
        lambda words=words: cloud.read_json_if_there(words, echo=False) or {}
        for words in (asked | policies).values()
    ]
    answers = in_parallel(calls, cloud.shell.most_at_once(AT_ONCE))
    found = dict(zip(asked | policies, answers, strict=True))
    repository, member = found.get("repository", {}), f"serviceAccount:{names.build_account}"
    return _Found(
        has_repository=bool(repository),
        is_ours=repository.get("labels", {}).get("component") == COMPONENT,
        has_policies=bool(repository.get("cleanupPolicies")),
        has_account=names.build_account in [each["email"] for each in found["accounts"]],
        bucket=found["bucket"],
        grants=frozenset(
            binding["role"]
            for policy in policies
            for binding in found[policy].get("bindings", [])
            if member in binding["members"]
        ),
    )


def _repository(cloud: Cloud, names: Names, found: _Found) -> list[Command]:
    """Return the commands that create the repository of the images, and set what it deletes by itself."""
    words = ["artifacts", "repositories"]
    create = [
        *(*words, "create", names.repository, "--repository-format", "docker", *cloud.in_region),
        *("--description", "Images of the GPU lane", "--labels", as_option(labels_of(cloud.settings))),
    ]
    if not names.is_google or (found.has_repository and (found.has_policies or not found.is_ours)):
        return []
    policies = rendered("cleanup-policies.json", json.dumps(_policies(cloud), indent=1) + "\n")
    set_policies = [*words, "set-cleanup-policies", names.repository, *cloud.in_region, "--policy"]
    return [*([] if found.has_repository else [create]), [*set_policies, nearest(policies), "--no-dry-run"]]


def _policies(cloud: Cloud) -> list[dict[str, Any]]:
    """Return the clean-up of the repository, that of the Batch lane's in terraform/main.tf."""
    old = {"tagState": "any", "olderThan": f"{KEEP_IMAGES_DAYS}d"}
    named = {"tagState": "tagged", "tagPrefixes": [cloud.settings.image_tag]}
    newest = {"keepCount": KEEP_IMAGES}
    keep, delete = {"type": "Keep"}, {"type": "Delete"}
    return [
        {"name": "keep-the-newest", "action": keep, "mostRecentVersions": newest},
        {"name": "keep-what-a-deployment-names", "action": keep, "condition": named},
        {"name": "delete-the-old", "action": delete, "condition": old},
    ]


def _account(cloud: Cloud, names: Names, found: _Found) -> list[Command]:
    create = ["iam", "service-accounts", "create", names.build_account_id, *cloud.in_project]
    return [] if found.has_account else [[*create, "--display-name", "GPU lane: builds of its images"]]


def _bucket(cloud: Cloud, names: Names, found: _Found) -> list[Command]:
    """Return the commands that create the bucket for sources, and those that complete it."""
    place = f"gs://{names.build_bucket}"
    create = [
        *("storage", "buckets", "create", place, "--location", cloud.region, *cloud.in_project),
        *("--uniform-bucket-level-access", "--public-access-prevention"),
    ]
    is_complete = found.bucket.get("lifecycle_config") and found.bucket.get("labels")
    if is_complete:
        return []
    rule = {"action": {"type": "Delete"}, "condition": {"age": SOURCE_DAYS}}
    lifecycle = rendered("source-lifecycle.json", json.dumps({"rule": [rule]}, indent=1) + "\n")
    update = ["storage", "buckets", "update", place, "--lifecycle-file", nearest(lifecycle)]
    return [
        *([] if found.bucket else [create]),
        [*update, "--update-labels", as_option(labels_of(cloud.settings))],
    ]


def _grants(cloud: Cloud, names: Names, found: _Found) -> list[Command]:
    """Return the commands that give the account its missing rights."""
    member = ["--member", f"serviceAccount:{names.build_account}", "--role"]
    add = "add-iam-policy-binding"
    repository = ["artifacts", "repositories", add, names.repository, *cloud.in_region]
    wanted = {
        WRITES_LOGS: ["projects", add, cloud.project, "--condition", "None"],
        **({PUSHES: repository} if names.is_google else {}),
        READS: ["storage", "buckets", add, f"gs://{names.build_bucket}"],
    }
    return [[*words, *member, role] for role, words in wanted.items() if role not in found.grants]
