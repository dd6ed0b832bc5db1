"""What Terraform and a build put into a project, put into an emulated cloud, where neither can work."""

import os
import tempfile
from pathlib import Path

import yaml

from ops import gcloud
from ops.cloud.deployment import repository_path, workflow_environment
from ops.failures import UserError
from ops.settings import ROOT, Settings, need
from ops.shell import Shell
from ops.terminal import nearest

WORKFLOW = ROOT / "terraform" / "workflow.yaml"
ANSWER_SECONDS = 10
THERE_ALREADY = 409
ANYBODY = {"Authorization": "Bearer anybody"}  # the emulated cloud denies nobody anything


def furnish_this_shell(shell: Shell, settings: Settings) -> None:
    """Make the emulated cloud of this shell ready for `invoke run --cloud`; what is there is left as it is.

    Raises
    ------
    UserError
        The shell has no emulated cloud, or PROJECT_ID or BUCKET_NAME is not set.
    """
    import requests  # here: its import takes a fifth of the time that invoke needs to start

    storage, apis = (os.environ.get(f"{name}_EMULATOR_HOST") for name in ("STORAGE", "SECRET_MANAGER"))
    if not (storage and apis):
        raise UserError(
            "this shell has no emulated cloud; start `invoke localcloud` in another, and source its exports"
        )
    need(settings, "project_id", "bucket_name")
    if not shell.dry_run:
        try:
            furnish(storage, apis, settings)
        except requests.ConnectionError:
            raise UserError(
                f"nothing answers at {apis}: the emulated cloud has stopped; "
                "start it, and source its exports again"
            ) from None
    with tempfile.TemporaryDirectory() as folder:
        deploy(shell, settings, Path(folder, "environment.yaml"))
    if not shell.dry_run:
        print(f"ready: project {settings.project_id}, gs://{settings.bucket_name}, {settings.workflow_name}")


def furnish(storage: str, apis: str, settings: Settings) -> None:
    """Put there a bucket, the accounts of machines, workflow and builds, a subnet, and an image's name."""
    import requests

    project = settings.project_id
    subnet = f"{project}/{settings.region}/{settings.network_name}"
    accounts = (
        settings.batch_service_account,
        settings.builder_service_account,
        settings.workflow_service_account,
        settings.build_service_account,
    )
    wanted = [
        (f"{storage}/storage/v1/b?project={project}", {"name": settings.bucket_name}),
        (f"{apis}/_emulator/images", {"image": f"{repository_path(settings)}:{settings.image_tag}"}),
        (f"{apis}/_emulator/compute", {"subnetwork": subnet}),
        *((f"{apis}/v1/projects/{project}/serviceAccounts", {"accountId": name}) for name in accounts),
    ]
    for url, body in wanted:
        answer = requests.post(url, json=body, headers=ANYBODY, timeout=ANSWER_SECONDS)
        if answer.status_code != THERE_ALREADY:
            answer.raise_for_status()


def deploy(shell: Shell, settings: Settings, variables: Path) -> None:
    """Deploy the workflow as it stands, with the variables that Terraform would give it."""
    if not shell.dry_run:
        variables.write_text(yaml.safe_dump(workflow_environment(settings)))
    words = ["workflows", "deploy", settings.workflow_name, "--source", nearest(WORKFLOW)]
    words += ["--location", settings.region, "--project", settings.project_id]
    gcloud.read(shell, [*words, "--env-vars-file", nearest(variables)])
