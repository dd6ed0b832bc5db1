"""Where fields of terraform/gpu/ and of the REST APIs have the same meaning, for gpu_compared.py."""

import re
from collections.abc import Iterable

TEMPLATE, SPEC = "spec.template.metadata.annotations", "spec.template.spec"
RUN, SCALING = "run.googleapis.com", "autoscaling.knative.dev"
# By kind: where the API has a field of the plan, whose names are in camelCase already. "" is not in the
# cloud: how Terraform itself goes about the resource, or another form of a field that is compared.
PATHS = {
    "": {"effectiveLabels": "", "terraformLabels": "", "deletionProtection": ""},
    "API": {"disableOnDestroy": "", "id": ""},
    "account": {"accountId": "", "member": ""},
    "audit log": {"auditLogConfig": "auditLogConfigs"},
    "bucket": {
        "forceDestroy": "",  # DELETE_DATA, which gpu-destroy asks for when the lane is removed
        "lifecycleRule": "lifecycle.rule",
        "publicAccessPrevention": "iamConfiguration.publicAccessPrevention",
        "uniformBucketLevelAccess": "iamConfiguration.uniformBucketLevelAccess.enabled",
    },
    "channel": {"forceDelete": ""},
    "service": {
        "ingress": f"metadata.annotations.{RUN}/ingress",
        "labels": "metadata.labels",
        "location": "metadata.labels.cloud.googleapis.com/location",
        "name": "metadata.name",
        "scaling.minInstanceCount": f"metadata.annotations.{RUN}/minScale",
        "scaling.scalingMode": f"metadata.annotations.{RUN}/scalingMode",
        "template.containers": f"{SPEC}.containers",
        "template.containers.resources.cpuIdle": f"{TEMPLATE}.{RUN}/cpu-throttling",
        "template.containers.resources.startupCpuBoost": f"{TEMPLATE}.{RUN}/startup-cpu-boost",
        "template.executionEnvironment": f"{TEMPLATE}.{RUN}/execution-environment",
        "template.gpuZonalRedundancyDisabled": f"{TEMPLATE}.{RUN}/gpu-zonal-redundancy-disabled",
        "template.labels": "spec.template.metadata.labels",
        "template.maxInstanceRequestConcurrency": f"{SPEC}.containerConcurrency",
        "template.nodeSelector.accelerator": f"{SPEC}.nodeSelector.{RUN}/accelerator",
        "template.scaling.maxInstanceCount": f"{TEMPLATE}.{SCALING}/maxScale",
        "template.scaling.minInstanceCount": f"{TEMPLATE}.{SCALING}/minScale",
        "template.serviceAccount": f"{SPEC}.serviceAccountName",
        "template.timeout": f"{SPEC}.timeoutSeconds",
        "template.vpcAccess.egress": f"{TEMPLATE}.{RUN}/vpc-access-egress",
        "template.vpcAccess.networkInterfaces": f"{TEMPLATE}.{RUN}/network-interfaces",
        "traffic.percent": "spec.traffic.percent",
        "traffic.type": "spec.traffic.latestRevision",
    },
    "trigger": {"matchingCriteria": "eventFilters"},
    "workflow": {"region": "location"},
}
# What a service of Google's, or gcloud, adds on its own.
ASSIGNED = {
    "": ("etag", "createTime", "updateTime", "creationRecord", "mutationRecord", "mutationRecords"),
    "API": ("config", "name", "parent", "state"),  # its name is the thing's
    "account": ("name", "projectId", "uniqueId", "oauth2ClientId"),
    "alert": ("name", "conditions.name"),
    "bucket": (
        *("kind", "id", "projectNumber", "locationType", "timeCreated", "updated", "metageneration"),
        "selfLink",
        "softDeletePolicy.effectiveTime",
    ),
    "channel": ("name",),
    "dashboard": ("name",),
    "policy": ("version", "kind", "resourceId", "auditConfigs"),  # logs are things of their own
    "repository": ("format", "mode"),
    "service": (
        *("apiVersion", "kind", "status"),
        *(f"metadata.{each}" for each in ("namespace", "uid", "generation", "resourceVersion")),
        *(f"metadata.{each}" for each in ("creationTimestamp", "selfLink")),
        *(f"metadata.annotations.{RUN}/{each}" for each in ("urls", "ingress-status")),
        *(f"{place}.{RUN}/client-name" for place in ("metadata.annotations", TEMPLATE)),
        *(f"{place}.{RUN}/client-version" for place in ("metadata.annotations", TEMPLATE)),
        "spec.template.metadata.labels.client.knative.dev/nonce",
        f"spec.template.metadata.labels.{RUN}/startupProbeType",
        "spec.template.metadata.labels.cloud.googleapis.com/location",  # a change copies that of the service
    ),
    "trigger": ("uid",),
    "workflow": ("state", "revisionId", "revisionCreateTime"),
}
# What a fact is where it is not there.
DEFAULTS = {
    "account": {"disabled": "false"},
    "alert": {"conditions.conditionThreshold.thresholdValue": "0"},
    "bucket": {"versioning.enabled": "false"},
    "service": {
        f"metadata.annotations.{RUN}/minScale": "0",
        f"metadata.annotations.{RUN}/scalingMode": "automatic",
        f"{TEMPLATE}.{SCALING}/minScale": "0",
        f"{TEMPLATE}.{RUN}/cpu-throttling": "true",
        f"{SPEC}.containers.ports.http1.containerPort": "8080",
        f"{SPEC}.containers.ports.http1.name": "http1",
        f"{SPEC}.containers.startupProbe.httpGet.port": "8080",
        f"{SPEC}.containers.startupProbe.initialDelaySeconds": "0",
    },
}
WORDS = {
    "ALL_TRAFFIC": "all-traffic",
    "AUTOMATIC": "automatic",
    "EXECUTION_ENVIRONMENT_GEN2": "gen2",
    "INGRESS_TRAFFIC_ALL": "all",
    "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER": "internal-and-cloud-load-balancing",
    "INGRESS_TRAFFIC_INTERNAL_ONLY": "internal",
    "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST": "true",
}
# The field that names the elements of a list, whose order has no meaning.
NAMED_BY = {
    "auditLogConfig": "logType",
    "auditLogConfigs": "logType",
    "env": "name",
    "eventFilters": "attribute",
    "matchingCriteria": "attribute",
    "ports": "name",
}
KINDS = {
    "google_cloud_run_v2_service": "service",
    "google_eventarc_trigger": "trigger",
    "google_monitoring_alert_policy": "alert",
    "google_monitoring_dashboard": "dashboard",
    "google_monitoring_notification_channel": "channel",
    "google_project_iam_audit_config": "audit log",
    "google_project_service": "API",
    "google_service_account": "account",
    "google_storage_bucket": "bucket",
    "google_workflows_workflow": "workflow",
}
NAMES = ("metadata.name", "email", "service", "name", "displayName")


def assigned(kind: str) -> tuple[str, ...]:
    """Return the paths of what a resource in the cloud has on its own."""
    return (*ASSIGNED[""], *ASSIGNED.get(kind, ()))


def terraforms_own(kind: str) -> tuple[str, ...]:
    """Return the paths of what a planned resource has for Terraform alone."""
    return ("project", *(path for path, there in {**PATHS[""], **PATHS.get(kind, {})}.items() if not there))


def camel(name: str) -> str:
    """Return a name of Terraform's as the APIs write it."""
    return re.sub("_([a-z])", lambda found: found[1].upper(), name)


def is_below(path: str, places: Iterable[str]) -> bool:
    """Return whether a path is one of several places, or below one."""
    return any(path == place or path.startswith(f"{place}.") for place in places)
