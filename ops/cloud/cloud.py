"""The project on Google Cloud that a task works in, and gcloud with its options.

A task builds a Cloud once, from its settings; functions that take one need not check that they are set.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ops import gcloud
from ops.gcloud import GcloudError, Refusal
from ops.settings import Settings, need
from ops.shell import Shell


@dataclass(frozen=True)
class Cloud:
    """Project, region, bucket and prefix of the runs, and the shell that runs gcloud."""

    shell: Shell
    project: str
    region: str
    bucket: str  # without gs://
    prefix: str  # path in the bucket above the experiments: "", or ending with /
    settings: Settings  # for other names: workflow, image, accounts, limits

    @classmethod
    def of(cls, shell: Shell, settings: Settings, *, needs_bucket: bool = True, instead: str = "") -> "Cloud":
        """Return the cloud that the settings name.

        Parameters
        ----------
        needs_bucket : bool
            Whether BUCKET_NAME must be set. If not, only paths in the bucket need it.
        instead : str
            What the operator can do without a project, for the message.

        Raises
        ------
        UserError
            PROJECT_ID, or BUCKET_NAME, is not set.
        """
        need(settings, "project_id", *(["bucket_name"] if needs_bucket else []), instead=instead)
        return cls(
            shell, settings.project_id, settings.region, settings.bucket_name, settings.dir_prefix, settings
        )

    @property
    def in_project(self) -> list[str]:
        """Options of gcloud for the project."""
        return ["--project", self.project]

    @property
    def in_region(self) -> list[str]:
        """Options of gcloud for the region and the project, where executions and jobs are."""
        return ["--location", self.region, *self.in_project]

    @property
    def top(self) -> str:
        """Path above all experiments, ending with /: gs://BUCKET/PREFIX."""
        need(self.settings, "bucket_name")
        return f"gs://{self.bucket}/{self.prefix}"

    def experiment_path(self, exp_id: str) -> str:
        """Return the path of an experiment's runs, ending with /."""
        return f"{self.top}{exp_id}/"

    def run_path(self, exp_id: str, run_id: str) -> str:
        """Return the path of a run, ending with /."""
        return f"{self.experiment_path(exp_id)}{run_id}/"

    @property
    def without_dry_run(self) -> "Cloud":
        """The same cloud, whose commands also run in a dry run; only for reading."""
        return replace(self, shell=self.shell.without_dry_run)

    def read(self, words: Sequence[str], **options: Any) -> str:
        """Return what gcloud prints; options and errors as gcloud.read()."""
        return gcloud.read(self.shell, words, **options)

    def read_if_there(self, words: Sequence[str], **options: Any) -> str:
        """Return what gcloud prints about objects; an empty string if none exists."""
        return gcloud.read_if_there(self.shell, words, **options)

    def read_json(self, words: Sequence[str], **options: Any) -> Any:
        """Return gcloud's JSON answer, None in a dry run; options and errors as gcloud.read_json()."""
        return gcloud.read_json(self.shell, words, **options)

    def read_json_if_there(
        self, words: Sequence[str], none_for: Sequence[Refusal] = (Refusal.MISSING,), **options: Any
    ) -> Any:
        """Return what read_json() returns; None where gcloud is refused for one of some reasons."""
        try:
            return self.read_json(words, **options)
        except GcloudError as error:
            if error.refusal not in none_for:
                raise
            return None
