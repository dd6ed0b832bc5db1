"""An operator of the GPU lane: types deploy.sh and destroy.sh, with the real gcloud and an emulated cloud."""

import subprocess
import sys

from localcloud.environment import client_environment
from ops.cloud.cloud import Cloud
from ops.environment import read_settings
from ops.gpu.names import SERVICES, Names
from ops.shell import Shell
from tests.cloud_runs import PROJECT, REGION
from tests.emulated import add_image, order_faults
from tests.experiments import REPOSITORY, sampled
from tests.needs import need_program
from tests.operators import Operator
from tests.stage_scripts import Ended

DIGEST, NEWER = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
# A request of each of five steps, from the first to the last, and how the deployment says where it stopped.
STOPS = {
    "create accounts": {"method": "POST", "path": r"/serviceAccounts\?"},
    "create buckets": {"method": "POST", "path": r"/storage/v1/b\?"},
    "deploy services": {"method": "POST", "path": "/namespaces/[^/]+/services"},
    "create alerts": {"method": "POST", "path": "/alertPolicies"},
    "create the trigger": {"method": "POST", "path": r"/triggers\?"},
}


class LaneOperator(Operator):
    """An operator with a cloud of their own, which has the lane's images."""

    def __init__(self, emulator, folder):
        need_program("gcloud")
        super().__init__(folder, sampled())
        self.emulator = emulator
        self.environ |= {
            **client_environment(emulator.storage, emulator.apis, emulator.state, PROJECT),
            "PROJECT_ID": PROJECT,
            "REGION": REGION,
            "VIRTUAL_ENV": sys.prefix,
            "GPU_TYPE": "none",  # this machine has no GPU, so the service would not start with DEVICE=cuda
        }
        self.settings = read_settings(self.environ)
        self.names = Names.of(self.settings)
        self.cloud = Cloud.of(Shell(environment=self.environ), self.settings, needs_bucket=False)
        self.push(DIGEST)

    def push(self, digest: str) -> None:
        for name in SERVICES:
            add_image(self.emulator, self.names.image(name, "latest"), digest)

    def type(self, name: str, *words: str, **variables: str) -> Ended:
        """Run deploy.sh or destroy.sh."""
        done = subprocess.run(
            [str(REPOSITORY / "scripts" / f"{name}.sh"), *words],
            env={**self.environ, **variables},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=500,
        )
        return Ended(done.returncode, done.stdout, done.stdout.strip().splitlines())

    def fail_once(self, **rule: object) -> None:
        """Have the emulated cloud refuse the next request that a rule describes."""
        order_faults(self.emulator, {"status": 403, "message": "no right", "times": 1, **rule})

    def left(self) -> list[str]:
        """Return what the emulated cloud still has of the lane."""
        project, region = self.cloud.in_project, ["--region", REGION]
        lists = [
            ["iam", "service-accounts", "list", *project, "--format", "value(email)"],
            ["storage", "buckets", "list", *project, "--format", "value(name)"],
            ["run", "services", "list", *region, *project, "--format", "value(metadata.name)"],
            ["workflows", "list", *self.cloud.in_region, "--format", "value(name)"],
            ["eventarc", "triggers", "list", *self.cloud.in_region, "--format", "value(name)"],
            ["alpha", "monitoring", "policies", "list", *project, "--format", "value(displayName)"],
            ["monitoring", "dashboards", "list", *project, "--format", "value(displayName)"],
            ["beta", "monitoring", "channels", "list", *project, "--format", "value(displayName)"],
            ["artifacts", "repositories", "list", *self.cloud.in_region, "--format", "value(name)"],
        ]
        found = [line for words in lists for line in self.cloud.read(words, echo=False).split("\n")]
        policy = self.cloud.read(["projects", "get-iam-policy", PROJECT], echo=False)
        return [line for line in [*found, *policy.split("\n")] if self.names.stem in line]
