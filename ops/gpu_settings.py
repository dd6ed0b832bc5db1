"""Settings that only the GPU lane has; each is also a variable of terraform/gpu/.

What one setting allows is checked here and in terraform/gpu/settings.tf, which is generated; what several of
them allow together in ops/gpu/rules.py and terraform/gpu/rules.tf.
"""

from typing import Literal

from pydantic import BaseModel

from ops import setting_types as types
from ops.setting_types import of_lane


class GpuSettings(BaseModel, frozen=True, validate_default=True):
    """Settings of the GPU lane."""

    service_prefix: types.ServicePrefix = of_lane(
        "ml-pipeline",
        "begins every name of the GPU lane: services, buckets, accounts, workflow, trigger",
        "The GPU lane (docs/gpu.md): the beginning of its names; a zone, which may be given but has no "
        "effect, since Cloud Run works in regions; the repository of its images (without "
        "one, the name of the lane); and its models (module:class by commas; without "
        "them, the forecast and the sentiment).",
    )
    zone: types.Zone = of_lane("", "a zone of REGION; it has no effect, since Cloud Run works in regions")
    gpu_repo_name: types.OptionalName = of_lane(
        "",
        "repository in Artifact Registry of the lane's images; empty: the name of the lane",
        gpu="repo_name",
    )
    models: types.ModelList = of_lane(
        "", "module:class of each model of the lane, by commas; empty: the forecast and the sentiment"
    )
    gpu_type: Literal["nvidia-l4", "nvidia-rtx-pro-6000", "none"] = of_lane(
        "nvidia-l4",
        "GPU of an instance of the GPU lane: nvidia-l4, nvidia-rtx-pro-6000, or none",
        "The GPU of an instance, its CPUs and memory (nvidia-l4: at least 4 and 16Gi), instances at the same "
        "time, the GPUs that the project may use in the region (GPU_QUOTA; `invoke gpu-check` asks), and "
        "whether they are spread over zones, which costs more and has a quota of its own.",
    )
    gpu_cpu: int = of_lane(4, "CPUs of an instance with a GPU; nvidia-l4: 4, 6 or 8", ge=1, le=64)
    gpu_memory: types.GiB = of_lane("16Gi", "memory of an instance with a GPU; nvidia-l4: 16Gi to 32Gi")
    gpu_max_instances: int = of_lane(3, "instances with a GPU at the same time", ge=1, le=100)
    gpu_quota: int = of_lane(3, "GPUs that the project may use in the region", ge=0, le=10_000)
    gpu_zonal_redundancy: bool = of_lane(False, "spread GPUs over zones: true or false")
    gpu_concurrency: int = of_lane(1, "requests that one instance with a GPU works on at once", ge=1, le=16)
    preprocess_memory: types.GiB = of_lane(
        "2Gi",
        "memory of an instance of preprocess",
        "The services without a GPU: memory, and instances of each at the same time. For all services: "
        "seconds of a request, most units of a shard (0: as many as fit into a request), and instances "
        "that are kept while nobody uploads. One with a GPU costs about a dollar an hour, so "
        "MIN_INSTANCES above 0 needs ACCEPT_IDLE_COST=true.",
    )
    postprocess_memory: types.GiB = of_lane("1Gi", "memory of an instance of postprocess")
    max_instances: int = of_lane(10, "instances of each service at the same time", ge=1, le=1000)
    timeout_seconds: int = of_lane(300, "seconds that a request to a service may take", ge=10, le=1790)
    shard_units: int = of_lane(
        0, "most units in a shard; 0: as many as fit into a request", ge=0, le=1_000_000
    )
    min_instances: int = of_lane(0, "instances of inference that are kept while nobody uploads", ge=0, le=100)
    accept_idle_cost: bool = of_lane(False, "pay for MIN_INSTANCES that do nothing: true or false")
    gpu_ingress: Literal["internal", "internal-and-cloud-load-balancing", "all"] = of_lane(
        "internal",
        "who reaches the services: internal, internal-and-cloud-load-balancing, or all; with a token always",
        "Who reaches the services (internal: the workflow alone), and a network and subnetwork that they "
        "send through, where the project's rules ask for one.",
        gpu="ingress",
    )
    gpu_network: types.OptionalName = of_lane("", "network that the services send through", gpu="network")
    gpu_subnetwork: types.OptionalName = of_lane("", "its subnetwork in the region", gpu="subnetwork")
    input_retention_days: types.Days = of_lane(
        30,
        "days until an upload is deleted; 0: never",
        "Days until uploads, intermediate files and results are deleted (0: never), and until results move "
        "to the cheaper storage class Nearline. DELETE_DATA=true lets the lane be removed with results in "
        "it. AUDIT_DATA_ACCESS logs who reads or writes objects, ENABLE_VERTEX_AI enables an API for models "
        "of your own that call it.",
    )
    work_retention_days: types.Days = of_lane(7, "days until intermediate files are deleted; 0: never")
    results_retention_days: types.Days = of_lane(0, "days until results are deleted; 0: never")
    results_nearline_days: types.Days = of_lane(90, "days until results move to Nearline; 0: never")
    delete_data: bool = of_lane(False, "remove the lane although results are in it: true or false")
    audit_data_access: bool = of_lane(False, "log who reads and writes objects: true or false")
    enable_vertex_ai: bool = of_lane(False, "enable the API of Vertex AI: true or false")
