"""Names of what the GPU lane has in a project, each within the length that its service allows.

All begin with SERVICE_PREFIX and six hexadecimal digits of project, region and prefix: a bucket's name is
shared with all of Google Cloud, so the prefix alone may be taken. The same settings give the same names.
"""

import hashlib
from dataclasses import dataclass

from ops.names import account_email
from ops.settings import Settings, need

SERVICES = ("preprocess", "inference", "postprocess")
BUCKETS = ("input", "models", "output")
# An account's id has at most 30 characters: a prefix of 18, the digits, and an ending of 4.
ACCOUNTS = {
    "preprocess": "pre",
    "inference": "gpu",
    "postprocess": "post",
    "workflow": "wf",
    "trigger": "ev",
}
DIGITS = 6
MANAGED_BY = "managed-by"  # label that says who deployed, and its values
MANUAL, TERRAFORM = "manual", "terraform"


@dataclass(frozen=True)
class Names:
    """The names in one project and region; `stem` begins those that gcloud lists."""

    project: str
    region: str
    stem: str  # PREFIX-0a1b2c
    images: str  # HOST/PROJECT/REPOSITORY

    @classmethod
    def of(cls, settings: Settings) -> "Names":
        """Return the names for these settings; PROJECT_ID must be set."""
        need(settings, "project_id")
        project, region, prefix = settings.project_id, settings.region, settings.service_prefix
        digest = hashlib.sha256(f"{project}/{region}/{prefix}".encode()).hexdigest()
        host = settings.registry_host or f"{region}-docker.pkg.dev"
        stem = f"{prefix}-{digest[:DIGITS]}"
        return cls(project, region, stem, f"{host}/{project}/{settings.gpu_repo_name or stem}")

    def service(self, name: str) -> str:
        """Return the name in Cloud Run of one of SERVICES."""
        return f"{self.stem}-{name}"

    def image(self, name: str, tag: str) -> str:
        """Return the image of one of SERVICES."""
        return f"{self.images}/{name}:{tag}"

    def bucket(self, name: str) -> str:
        """Return the name of one of BUCKETS, without gs://."""
        return f"{self.stem}-{name}"

    def account_id(self, name: str) -> str:
        """Return the id of one of ACCOUNTS, at most 30 characters."""
        return f"{self.stem}-{ACCOUNTS[name]}"

    def account(self, name: str) -> str:
        """Return the e-mail address of one of ACCOUNTS."""
        return account_email(self.project, self.account_id(name))

    def member(self, name: str) -> str:
        """Return one of ACCOUNTS as policies name it."""
        return f"serviceAccount:{self.account(name)}"

    @property
    def repository(self) -> str:
        """The repository of the images in Artifact Registry."""
        return self.images.rpartition("/")[2]

    @property
    def is_google(self) -> bool:
        """Whether the images are in Artifact Registry; gcloud knows no other registry."""
        return self.images.partition("/")[0].endswith("docker.pkg.dev")

    @property
    def build_account_id(self) -> str:
        return f"{self.stem}-bld"

    @property
    def build_account(self) -> str:
        """The e-mail address of the account that builds run as."""
        return account_email(self.project, self.build_account_id)

    @property
    def build_bucket(self) -> str:
        """The bucket of the sources of builds, without gs://."""
        return f"{self.stem}-build"

    @property
    def workflow(self) -> str:
        return self.stem

    @property
    def trigger(self) -> str:
        return f"{self.stem}-upload"
