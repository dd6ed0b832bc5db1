"""What the agent on a job's machines does as the job's account: it reports, pulls the images, writes logs.

https://cloud.google.com/batch/docs/create-run-job-custom-service-account names the roles. Each permission is
asked once, when a job gets its machines.
"""

from dataclasses import dataclass, field

from localcloud.batch.definition import JobSpec
from localcloud.registry import repository_of
from localcloud.rights.actors import Actors

_REPORT, _PULL = "batch.states.report", "artifactregistry.repositories.downloadArtifacts"
# Of the Ops Agent, which goes on without it: https://cloud.google.com/stackdriver/docs/solutions/agents/ops-agent/authorization
_MEASURE = "monitoring.timeSeries.create"


@dataclass(frozen=True)
class Agent:
    """What the agent of a job may do; `silent` says why it cannot report, "" if it can."""

    silent: str = ""
    may_log: bool = True
    refused_images: dict[str, str] = field(default_factory=dict)  # why they cannot be pulled, by their names


class Agents:
    """The agents of all jobs."""

    def __init__(self, actors: Actors):
        self._actors = actors

    def of(self, project: str, spec: JobSpec) -> Agent:
        """Return the agent of a job that gets its machines now."""
        actor = self._actors.as_(spec.account)
        if silent := actor.why_not(_REPORT, f"projects/{project}"):
            return Agent(silent)
        if spec.is_measured:
            actor.why_not(_MEASURE, f"projects/{project}")  # is recorded, and refuses nothing
        places = {image: repository_of(image) for image in sorted(spec.images)}
        why = {image: actor.why_not(_PULL, place) for image, place in places.items() if place}
        return Agent(
            may_log=not spec.is_logged or actor.may_log(project),
            refused_images={image: said for image, said in why.items() if said},
        )
