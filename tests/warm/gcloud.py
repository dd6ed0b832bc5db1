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
    "googlecloudsdk.api_lib.batch.jobs",
    "googlecloudsdk.api_lib.cloudresourcemanager.projects_api",
    "googlecloudsdk.api_lib.container.api_adapter",
    "googlecloudsdk.api_lib.iam.util",
    "googlecloudsdk.api_lib.logging.common",
    "googlecloudsdk.api_lib.run.global_methods",
    "googlecloudsdk.api_lib.storage.api_factory",
    "googlecloudsdk.api_lib.storage.storage_api",
    "googlecloudsdk.api_lib.workflows.workflows",
    "googlecloudsdk.calliope.parser_completer",
    "googlecloudsdk.command_lib.artifacts.requests",
    "googlecloudsdk.command_lib.concepts.concept_managers",
    "googlecloudsdk.command_lib.monitoring.util",
    "googlecloudsdk.command_lib.projects.flags",
    "googlecloudsdk.command_lib.projects.util",
    "googlecloudsdk.command_lib.run.serverless_operations",
    "googlecloudsdk.command_lib.storage.metrics_util",
    "googlecloudsdk.command_lib.storage.optimize_parameters_util",
    "googlecloudsdk.command_lib.storage.tasks.task_executor",
    "googlecloudsdk.command_lib.storage.tasks.task_util",
    "googlecloudsdk.command_lib.storage.wildcard_iterator",
    "googlecloudsdk.command_lib.util.apis.arg_marshalling",
    "googlecloudsdk.command_lib.util.apis.update",
    "googlecloudsdk.command_lib.util.args.repeated",
    "googlecloudsdk.core.credentials.google_auth_credentials",
    "googlecloudsdk.core.credentials.p12_service_account",
    "googlecloudsdk.core.credentials.requests",
    "googlecloudsdk.core.credentials.store",
    "googlecloudsdk.core.resource.resource_printer",
    "googlecloudsdk.generated_clients.apis.cloudresourcemanager.v1.cloudresourcemanager_v1_client",
    "googlecloudsdk.generated_clients.apis.cloudresourcemanager.v1.resources",
    "googlecloudsdk.generated_clients.apis.eventarc.v1.eventarc_v1_client",
    "googlecloudsdk.generated_clients.apis.iam.v1.iam_v1_client",
    "googlecloudsdk.generated_clients.apis.monitoring.v1.monitoring_v1_client",
    "googlecloudsdk.generated_clients.apis.monitoring.v3.monitoring_v3_client",
    "googlecloudsdk.generated_clients.apis.monitoring.v3.resources",
    "googlecloudsdk.generated_clients.apis.run.v1.resources",
    "googlecloudsdk.generated_clients.apis.run.v1.run_v1_client",
    "googlecloudsdk.generated_clients.apis.storage.v1.storage_v1_client",
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
