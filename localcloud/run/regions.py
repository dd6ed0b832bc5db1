"""The regions of Cloud Run, and those that have its GPUs: https://cloud.google.com/run/docs/locations."""

REGIONS = (
    "africa-south1",
    "asia-east1",
    "asia-east2",
    "asia-northeast1",
    "asia-northeast2",
    "asia-northeast3",
    "asia-south1",
    "asia-south2",
    "asia-southeast1",
    "asia-southeast2",
    "australia-southeast1",
    "australia-southeast2",
    "europe-central2",
    "europe-north1",
    "europe-southwest1",
    "europe-west1",
    "europe-west10",
    "europe-west12",
    "europe-west2",
    "europe-west3",
    "europe-west4",
    "europe-west6",
    "europe-west8",
    "europe-west9",
    "me-central1",
    "me-west1",
    "northamerica-northeast1",
    "northamerica-northeast2",
    "southamerica-east1",
    "southamerica-west1",
    "us-central1",
    "us-east1",
    "us-east4",
    "us-east5",
    "us-south1",
    "us-west1",
    "us-west2",
    "us-west3",
    "us-west4",
)

L4, RTX = "nvidia-l4", "nvidia-rtx-pro-6000"
GPU_REGIONS = {
    # asia-south1 is by invitation: the service was seen to refuse it, although the quota lists it.
    L4: ("asia-southeast1", "europe-west4", "europe-west1", "us-central1", "us-east4"),
    RTX: ("asia-southeast1", "europe-west4", "us-central1"),  # seen in use; there may be more
}
