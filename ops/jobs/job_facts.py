"""What stands in a job of Batch as the service tells it: its id, and what its tasks are given of the run."""

from typing import Any


def id_of(job: dict[str, Any]) -> str:
    return job["name"].rpartition("/")[2]


def state_of(job: dict[str, Any]) -> str:
    return job.get("status", {}).get("state", "STATE_UNSPECIFIED")


def variables_of(job: dict[str, Any]) -> dict[str, str]:
    """Return the environment variables that a job gives to its tasks."""
    return job["taskGroups"][0]["taskSpec"].get("environment", {}).get("variables", {})


def experiment_of(job: dict[str, Any]) -> str:
    """Return the experiment by its name; its label is lower case, and has no / in it."""
    return variables_of(job).get("EXP_ID") or job.get("labels", {}).get("exp_id", "")


def run_path_of(job: dict[str, Any]) -> str:
    """Return where the job's run is in the bucket, ending with /."""
    variables = variables_of(job)
    place_of_run = f"{experiment_of(job)}/{variables.get('RUN_ID', '')}/"
    return f"gs://{variables.get('GCS_BUCKET', '')}/{variables.get('DIR_PREFIX', '')}{place_of_run}"
