"""Serves gcloud, with the Python that it comes with: see forks.py."""

import contextlib
import importlib
import os
import socket
import sys
import time

import forks

SPEED = "TEST_GCLOUD_SPEED"  # how much faster than usual it tries again what failed
# what most commands load besides; one that another version does not have is left out
USUAL = (
    "_strptime",
    "google.auth._cloud_sdk",
    "google.oauth2.reauth",
    "googlecloudsdk.api_lib.artifacts.exceptions",
    "googlecloudsdk.api_lib.auth.exceptions",
    "googlecloudsdk.api_lib.batch.jobs",
    "googlecloudsdk.api_lib.batch.tasks",
    "googlecloudsdk.api_lib.cloudbuild.filter_rewrite",
    "googlecloudsdk.api_lib.cloudbuild.transforms",
    "googlecloudsdk.api_lib.cloudresourcemanager.projects_api",
    "googlecloudsdk.api_lib.compute.base_classes",
    "googlecloudsdk.api_lib.compute.transforms",
    "googlecloudsdk.api_lib.container.api_adapter",
    "googlecloudsdk.api_lib.eventarc.triggers",
    "googlecloudsdk.api_lib.iam.exceptions",
    "googlecloudsdk.api_lib.iam.util",
    "googlecloudsdk.api_lib.logging.common",
    "googlecloudsdk.api_lib.run.api_enabler",
    "googlecloudsdk.api_lib.run.global_methods",
    "googlecloudsdk.api_lib.secrets.api",
    "googlecloudsdk.api_lib.storage.api_factory",
    "googlecloudsdk.api_lib.storage.storage_api",
    "googlecloudsdk.api_lib.workflows.workflows",
    "googlecloudsdk.calliope.parser_completer",
    "googlecloudsdk.command_lib.artifacts.docker_util",
    "googlecloudsdk.command_lib.artifacts.flags",
    "googlecloudsdk.command_lib.artifacts.format_util",
    "googlecloudsdk.command_lib.artifacts.requests",
    "googlecloudsdk.command_lib.batch.resource_args",
    "googlecloudsdk.command_lib.compute.networks.subnets.flags",
    "googlecloudsdk.command_lib.compute.regions.flags",
    "googlecloudsdk.command_lib.concepts.concept_managers",
    "googlecloudsdk.command_lib.config.completers",
    "googlecloudsdk.command_lib.eventarc.flags",
    "googlecloudsdk.command_lib.infra_manager.deploy_util",
    "googlecloudsdk.command_lib.infra_manager.flags",
    "googlecloudsdk.command_lib.infra_manager.resource_args",
    "googlecloudsdk.command_lib.logs.read",
    "googlecloudsdk.command_lib.monitoring.util",
    "googlecloudsdk.command_lib.projects.flags",
    "googlecloudsdk.command_lib.projects.util",
    "googlecloudsdk.command_lib.run.build_util",
    "googlecloudsdk.command_lib.run.commands",
    "googlecloudsdk.command_lib.run.container_parser",
    "googlecloudsdk.command_lib.run.printers.export_printer",
    "googlecloudsdk.command_lib.run.printers.service_printer",
    "googlecloudsdk.command_lib.run.resource_change_validators",
    "googlecloudsdk.command_lib.run.serverless_operations",
    "googlecloudsdk.command_lib.secrets.fmt",
    "googlecloudsdk.command_lib.secrets.util",
    "googlecloudsdk.command_lib.services.common_flags",
    "googlecloudsdk.command_lib.storage.cp_command_util",
    "googlecloudsdk.command_lib.storage.iam_command_util",
    "googlecloudsdk.command_lib.storage.ls_command_util",
    "googlecloudsdk.command_lib.storage.metrics_util",
    "googlecloudsdk.command_lib.storage.optimize_parameters_util",
    "googlecloudsdk.command_lib.storage.resources.gsutil_json_printer",
    "googlecloudsdk.command_lib.storage.tasks.buckets.create_bucket_task",
    "googlecloudsdk.command_lib.storage.tasks.cat.cat_task_iterator",
    "googlecloudsdk.command_lib.storage.tasks.get_sorted_list_file_task",
    "googlecloudsdk.command_lib.storage.tasks.set_iam_policy_task",
    "googlecloudsdk.command_lib.storage.tasks.task_executor",
    "googlecloudsdk.command_lib.storage.tasks.task_util",
    "googlecloudsdk.command_lib.storage.wildcard_iterator",
    "googlecloudsdk.command_lib.util.apis.arg_marshalling",
    "googlecloudsdk.command_lib.util.apis.update",
    "googlecloudsdk.command_lib.util.args.repeated",
    "googlecloudsdk.command_lib.workflows.hooks",
    "googlecloudsdk.core.credentials.google_auth_credentials",
    "googlecloudsdk.core.credentials.p12_service_account",
    "googlecloudsdk.core.credentials.requests",
    "googlecloudsdk.core.credentials.store",
    "googlecloudsdk.core.resource.resource_printer",
    "googlecloudsdk.generated_clients.apis.artifactregistry.v1.artifactregistry_v1_client",
    "googlecloudsdk.generated_clients.apis.artifactregistry.v1.resources",
    "googlecloudsdk.generated_clients.apis.batch.v1.batch_v1_client",
    "googlecloudsdk.generated_clients.apis.batch.v1.resources",
    "googlecloudsdk.generated_clients.apis.cloudbuild.v1.cloudbuild_v1_client",
    "googlecloudsdk.generated_clients.apis.cloudbuild.v1.resources",
    "googlecloudsdk.generated_clients.apis.cloudresourcemanager.v1.cloudresourcemanager_v1_client",
    "googlecloudsdk.generated_clients.apis.cloudresourcemanager.v1.resources",
    "googlecloudsdk.generated_clients.apis.compute.v1.compute_v1_client",
    "googlecloudsdk.generated_clients.apis.compute.v1.resources",
    "googlecloudsdk.generated_clients.apis.config.v1.config_v1_client",
    "googlecloudsdk.generated_clients.apis.config.v1.resources",
    "googlecloudsdk.generated_clients.apis.eventarc.v1.eventarc_v1_client",
    "googlecloudsdk.generated_clients.apis.eventarc.v1.resources",
    "googlecloudsdk.generated_clients.apis.iam.v1.iam_v1_client",
    "googlecloudsdk.generated_clients.apis.logging.v2.logging_v2_client",
    "googlecloudsdk.generated_clients.apis.monitoring.v1.monitoring_v1_client",
    "googlecloudsdk.generated_clients.apis.monitoring.v1.resources",
    "googlecloudsdk.generated_clients.apis.monitoring.v3.monitoring_v3_client",
    "googlecloudsdk.generated_clients.apis.monitoring.v3.resources",
    "googlecloudsdk.generated_clients.apis.run.v1.resources",
    "googlecloudsdk.generated_clients.apis.run.v1.run_v1_client",
    "googlecloudsdk.generated_clients.apis.secretmanager.v1.resources",
    "googlecloudsdk.generated_clients.apis.secretmanager.v1.secretmanager_v1_client",
    "googlecloudsdk.generated_clients.apis.serviceusage.v1.serviceusage_v1_client",
    "googlecloudsdk.generated_clients.apis.storage.v1.resources",
    "googlecloudsdk.generated_clients.apis.storage.v1.storage_v1_client",
    "googlecloudsdk.generated_clients.apis.workflowexecutions.v1.resources",
    "googlecloudsdk.generated_clients.apis.workflowexecutions.v1.workflowexecutions_v1_client",
    "googlecloudsdk.generated_clients.apis.workflows.v1.resources",
    "googlecloudsdk.generated_clients.apis.workflows.v1.workflows_v1_client",
    "multiprocessing.popen_fork",
    "multiprocessing.queues",
    "multiprocessing.synchronize",
    "netrc",
    "proto",
)


class Gcloud(forks.Program):
    def __init__(self, root: str):
        self.root = root
        sys.path[:1] = [f"{root}/lib/third_party", f"{root}/lib"]  # in place of this folder

    def load(self, call: dict) -> None:
        importlib.import_module("googlecloudsdk.gcloud_main")
        for name in USUAL:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)

    def run(self, call: dict) -> object:
        """Do what gcloud's start script does."""
        if speed := os.environ.pop(SPEED, ""):
            sleep = time.sleep
            time.sleep = lambda seconds: sleep(seconds / float(speed))
        os.environ.update(CLOUDSDK_ROOT_DIR=self.root, CLOUDSDK_ENCODING="UTF-8", PYTHONIOENCODING="UTF-8")
        sys.argv = [f"{self.root}/lib/gcloud.py", *call["arguments"]]
        return sys.modules["googlecloudsdk.gcloud_main"].main()


if __name__ == "__main__":
    forks.serve(Gcloud(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])))
