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
    "googlecloudsdk.api_lib.batch.jobs",
    "googlecloudsdk.api_lib.logging.common",
    "googlecloudsdk.api_lib.storage.api_factory",
    "googlecloudsdk.api_lib.workflows.workflows",
    "googlecloudsdk.command_lib.storage.wildcard_iterator",
    "googlecloudsdk.core.credentials.requests",
    "googlecloudsdk.core.credentials.store",
    "googlecloudsdk.core.resource.resource_printer",
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
