"""Create in an emulated cloud what Terraform and a build create in a project; neither works there."""

from pathlib import Path

import yaml

from ops.cloud.cloud import Cloud
from ops.cloud.deployment import repository_path, workflow_environment
from ops.gpu.names import SERVICES, Names
from ops.names import account_email
from ops.rehearsal.policies import ANSWER_SECONDS, AS_OWNER, EXISTS
from ops.settings import ROOT, Settings
from ops.terminal import nearest

WORKFLOW = ROOT / "terraform" / "workflow.yaml"


def populate(storage: str, apis: str, settings: Settings) -> None:
    """Create a bucket, the service accounts, a subnet, and the images of both lanes."""
    import requests

    project = settings.project_id
    subnet = f"{project}/{settings.region}/{settings.network_name}"
    accounts = (
        settings.batch_service_account,
        settings.builder_service_account,
        settings.workflow_service_account,
        settings.build_service_account,
    )
    emails = [account_email(project, name) for name in accounts]
    uniform = {"uniformBucketLevelAccess": {"enabled": True}}  # else rights have no conditions
    bucket = {"name": settings.bucket_name, "iamConfiguration": uniform}
    wanted = [
        (f"{storage}/storage/v1/b?project={project}", bucket),
        *((f"{apis}/_emulator/images", {"image": image}) for image in _images(settings)),
        (f"{apis}/_emulator/compute", {"subnetwork": subnet}),
        *((_accounts_url(apis, email), {"accountId": email.partition("@")[0]}) for email in emails),
    ]
    for url, body in wanted:
        answer = requests.post(url, json=body, headers=AS_OWNER, timeout=ANSWER_SECONDS)
        if answer.status_code != EXISTS:
            answer.raise_for_status()


def _accounts_url(apis: str, email: str) -> str:
    project = email.partition("@")[2].removesuffix(".iam.gserviceaccount.com")
    return f"{apis}/v1/projects/{project}/serviceAccounts"


def _images(settings: Settings) -> list[str]:
    names, tag = Names.of(settings), settings.image_tag
    return [f"{repository_path(settings)}:{tag}", *(names.image(service, tag) for service in SERVICES)]


def deploy(cloud: Cloud, variables: Path) -> None:
    """Deploy the workflow of this checkout with the variables and the account that Terraform would set."""
    cloud.shell.write_file(variables, yaml.safe_dump(workflow_environment(cloud.settings)))
    words = ["workflows", "deploy", cloud.settings.workflow_name, "--source", nearest(WORKFLOW)]
    account = account_email(cloud.project, cloud.settings.workflow_service_account)
    words += ["--service-account", account, *cloud.in_region]
    cloud.read([*words, "--env-vars-file", nearest(variables)])
