"""The environment variables of a task: the job's own, its secrets, and what Batch itself sets."""

import base64
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from localcloud.batch.job import Job

SECRET_SECONDS = 60.0


class SecretUnavailable(Exception):
    """A secret that a job names cannot be read."""


@dataclass
class Variables:
    """By name; which of the values are secret is known, so that those stay out of arguments."""

    values: dict[str, str] = field(default_factory=dict)
    secret_names: set[str] = field(default_factory=set)

    def updated(self, plain: Mapping[str, str], secret: Mapping[str, str]) -> "Variables":
        """Return these and more; the later ones win."""
        values = {**self.values, **plain, **secret}
        return Variables(values, (self.secret_names - set(plain)) | set(secret))


class VariableSource:
    """Puts the variables of a task together; knows where the emulated services are."""

    def __init__(self, addresses: Mapping[str, str]):
        self._addresses = addresses  # of "storage" and "apis", once the emulator listens

    def of_task(self, job: Job, index: int) -> Variables:
        """Return what the job gives all its runnables.

        Raises
        ------
        SecretUnavailable
        """
        levels = [job.spec.environment, *job.spec.task_environments[index : index + 1]]
        found = Variables()
        for level in levels:
            found = self.with_runnable(found, level)
        return found

    def with_runnable(self, variables: Variables, environment: Mapping[str, Any]) -> Variables:
        """Return the variables of one runnable: the task's, and its own over them."""
        secrets = environment.get("secretVariables", {})
        values = {name: self._read_secret(version) for name, version in secrets.items()}
        return variables.updated(environment.get("variables", {}), values)

    def set_by_batch(self, job: Job, index: int, attempt: int) -> dict[str, str]:
        """What no job can override; the services it reaches are those of the emulator."""
        return {
            "BATCH_TASK_INDEX": str(index),
            "BATCH_TASK_COUNT": str(job.tasks.count),
            "BATCH_TASK_RETRY_ATTEMPT": str(attempt),
            "BATCH_JOB_UID": job.uid,
            "BATCH_JOB_ID": job.job_id,
            "GOOGLE_CLOUD_PROJECT": job.project,
            "STORAGE_EMULATOR_HOST": self._addresses["storage"],
            "SECRET_MANAGER_EMULATOR_HOST": self._addresses["apis"],
        }

    def _read_secret(self, version: str) -> str:
        """Ask Secret Manager as the agent does, so that faults ordered for it are met here, too."""
        connection = http.client.HTTPConnection(
            urlsplit(self._addresses["apis"]).netloc, timeout=SECRET_SECONDS
        )
        try:
            connection.request("GET", f"/v1/{version}:access", headers={"Authorization": "Bearer agent"})
            answer = connection.getresponse()
            body = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise SecretUnavailable(f"{version}: {error}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise SecretUnavailable(f"{version}: {body['error']['message']}")
        value = base64.b64decode(body["payload"]["data"]).decode(errors="surrogateescape")
        if "\0" in value:
            raise SecretUnavailable(f"{version}: an environment variable cannot hold a null character")
        return value
