"""The environment variables of a task: the job's own, its secrets, and those that Batch sets."""

import base64
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from localcloud.batch.jobs import Job
from localcloud.rights.actors import Actor, Actors

SECRET_SECONDS = 60.0


class SecretUnavailable(Exception):
    """A secret that a job names cannot be read."""


@dataclass
class Variables:
    """Variables by name, and which of them are secret, so that those are kept out of arguments."""

    values: dict[str, str] = field(default_factory=dict)
    secret_names: set[str] = field(default_factory=set)

    def updated(self, plain: Mapping[str, str], secret: Mapping[str, str]) -> "Variables":
        """Return these variables updated with others, which win."""
        values = {**self.values, **plain, **secret}
        return Variables(values, (self.secret_names - set(plain)) | set(secret))


class VariableSource:
    """Collects the variables of a task, among them the addresses of the services for its account."""

    def __init__(self, actors: Actors):
        self._actors = actors

    def of_task(self, job: Job, index: int) -> Variables:
        """Return the variables that a job gives to all its runnables.

        Raises
        ------
        SecretUnavailable
        """
        levels = [job.spec.environment, *job.spec.task_environments[index : index + 1]]
        found = Variables()
        for level in levels:
            found = self.with_runnable(job, found, level)
        return found

    def with_runnable(self, job: Job, variables: Variables, environment: Mapping[str, Any]) -> Variables:
        """Return the variables of one runnable: the task's, overridden by its own."""
        secrets = environment.get("secretVariables", {})
        actor = self._actors.as_(job.spec.account)
        values = {name: _read_secret(actor, version) for name, version in secrets.items()}
        return variables.updated(environment.get("variables", {}), values)

    def set_by_batch(self, job: Job, index: int, attempt: int) -> dict[str, str]:
        """Return the variables that no job can override, with the addresses of the emulator."""
        door = self._actors.as_(job.spec.account).door
        return {
            "BATCH_TASK_INDEX": str(index),
            "BATCH_TASK_COUNT": str(job.tasks.count),
            "BATCH_TASK_RETRY_ATTEMPT": str(attempt),
            "BATCH_JOB_UID": job.uid,
            "BATCH_JOB_ID": job.job_id,
            "GOOGLE_CLOUD_PROJECT": job.project,
            "STORAGE_EMULATOR_HOST": door["storage"],
            "SECRET_MANAGER_EMULATOR_HOST": door["apis"],
        }


def _read_secret(actor: Actor, version: str) -> str:
    """Read a secret as an account, over HTTP, so that the faults set for Secret Manager apply."""
    connection = http.client.HTTPConnection(urlsplit(actor.door["apis"]).netloc, timeout=SECRET_SECONDS)
    try:
        connection.request("GET", f"/v1/{version}:access", headers={"Authorization": f"Bearer {actor.token}"})
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
        raise SecretUnavailable(f"{version}: an environment variable cannot contain a null character")
    return value
