"""The buckets of the GPU lane: class, rules by which objects are deleted, access, labels, rights."""

import json
from typing import Any

from ops.gcloud import AT_ONCE, in_parallel
from ops.gpu.found import Resource
from ops.gpu.lane import Lane
from ops.gpu.names import BUCKETS
from ops.gpu.rights import bucket_bindings, has_bindings, with_bindings
from ops.gpu.steps import Change, Command, differences
from ops.settings import Settings

Rule = dict[str, Any]
RESTORED_SECONDS = 7 * 24 * 3600  # within which a deleted object can be restored
ABORT_DAYS = 1  # until the parts of an upload that was never finished are deleted
STANDARD = "STANDARD"


def lifecycle_rules(settings: Settings, bucket: str) -> list[Rule]:
    """Return the lifecycle rules of one of the buckets; 0 days is no rule."""
    delete, nearline = {"type": "Delete"}, {"type": "SetStorageClass", "storageClass": "NEARLINE"}
    rules = {
        "input": [_rule(delete, settings.input_retention_days)],
        "models": [],
        "output": [
            _rule(delete, settings.work_retention_days, "work/"),
            _rule(nearline, settings.results_nearline_days, "results/"),
            _rule(delete, settings.results_retention_days, "results/"),
        ],
    }[bucket]
    abort = _rule({"type": "AbortIncompleteMultipartUpload"}, ABORT_DAYS)
    return [rule for rule in [*rules, abort] if rule["condition"]["age"]]


def _rule(action: Rule, days: int, folder: str = "") -> Rule:
    return {"action": action, "condition": {"age": days, **({"matchesPrefix": [folder]} if folder else {})}}


def bucket_changes(lane: Lane) -> list[Change]:
    """Return a change for each bucket that is missing, or not as the settings want it."""
    changes = []
    for bucket in BUCKETS:
        rules = lifecycle_rules(lane.cloud.settings, bucket)
        resource = lane.found.buckets.get(lane.names.bucket(bucket))
        if resource is None:
            changes.append(Change(f"create bucket {bucket}", _create(lane, bucket, rules)))
        elif differing := differences(_facts_of(lane, resource), _wanted(lane, rules)):
            what = f"change bucket {bucket}: {'; '.join(differing)}"
            changes.append(Change(what, [_update(lane, bucket, rules)]))
    return changes


def _wanted(lane: Lane, rules: list[Rule]) -> dict[str, str]:
    return {
        "class": STANDARD,
        "uniform access": "True",
        "public access prevention": "enforced",
        "versioning": "False",
        "soft delete seconds": str(RESTORED_SECONDS),
        "lifecycle": _shown(rules),
        **lane.shown_labels(lane.labels),
    }


def _facts_of(lane: Lane, bucket: Resource) -> dict[str, str]:
    access = bucket.get("iamConfiguration", {})
    return {
        "class": bucket.get("storageClass", ""),
        "uniform access": str(access.get("uniformBucketLevelAccess", {}).get("enabled", False)),
        "public access prevention": access.get("publicAccessPrevention", ""),
        "versioning": str(bucket.get("versioning", {}).get("enabled", False)),
        "soft delete seconds": str(bucket.get("softDeletePolicy", {}).get("retentionDurationSeconds", "")),
        "lifecycle": _shown(bucket.get("lifecycle", {}).get("rule", [])),
        **lane.shown_labels(bucket.get("labels", {})),
    }


def _shown(rules: list[Rule]) -> str:
    """Return rules in short, such as "Delete work/ after 7 days"; their order has no meaning."""

    def words(rule: Rule) -> str:
        action, condition = rule["action"], dict(rule["condition"])
        kind, folders = action.get("storageClass", action["type"]), condition.pop("matchesPrefix", [])
        age = condition.pop("age", None)
        others = [json.dumps(condition, sort_keys=True)] if condition else []
        return " ".join([kind, *folders, f"after {age} days", *others])

    return ", ".join(sorted(map(words, rules)))


def _create(lane: Lane, bucket: str, rules: list[Rule]) -> list[Command]:
    """Return the commands for a bucket; `create` has no option for labels."""
    place = f"gs://{lane.names.bucket(bucket)}"
    create = ["storage", "buckets", "create", place, "--location", lane.cloud.region]
    labels = ["storage", "buckets", "update", place, "--update-labels", lane.label_option]
    return [
        [*create, *_options(lane, bucket, rules), *lane.cloud.in_project],
        [*labels, *lane.cloud.in_project],
    ]


def _update(lane: Lane, bucket: str, rules: list[Rule]) -> Command:
    options = [*_options(lane, bucket, rules), "--no-versioning", "--update-labels", lane.label_option]
    place = f"gs://{lane.names.bucket(bucket)}"
    return ["storage", "buckets", "update", place, *options, *lane.cloud.in_project]


def _options(lane: Lane, bucket: str, rules: list[Rule]) -> list[str]:
    return [
        *("--default-storage-class", STANDARD, "--uniform-bucket-level-access"),
        *("--public-access-prevention", "--soft-delete-duration", f"{RESTORED_SECONDS}s"),
        *("--lifecycle-file", lane.write(f"{bucket}-lifecycle.json", {"rule": rules})),
    ]


def buckets_without_rights(lane: Lane) -> list[str]:
    """Return the buckets whose policies do not have all bindings."""
    policies = {bucket: lane.found.policies.get(lane.names.bucket(bucket), {}) for bucket in BUCKETS}
    return [
        bucket
        for bucket, policy in policies.items()
        if not has_bindings(policy, bucket_bindings(lane.names, bucket))
    ]


def grants_on_buckets(lane: Lane, buckets: list[str]) -> list[list[Command]]:
    """Return the commands that set the policies of some buckets, which exist: each is read first."""
    cloud = lane.cloud
    places = {bucket: f"gs://{lane.names.bucket(bucket)}" for bucket in buckets}
    asked = [["storage", "buckets", "get-iam-policy", place] for place in places.values()]
    calls = [lambda words=words: cloud.read_json(words, echo=False) or {} for words in asked]
    policies = in_parallel(calls, cloud.shell.most_at_once(AT_ONCE)) if calls else []
    return [
        [["storage", "buckets", "set-iam-policy", place, _policy(lane, bucket, policy)]]
        for (bucket, place), policy in zip(places.items(), policies, strict=True)
    ]


def _policy(lane: Lane, bucket: str, policy: Resource) -> str:
    return lane.write(f"{bucket}.json", with_bindings(policy, bucket_bindings(lane.names, bucket)))
