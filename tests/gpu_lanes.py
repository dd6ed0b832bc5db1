"""The GPU lane on an emulated cloud: deployed by the real gcloud, used by its clients as people use it."""

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from localcloud.process import Cloud as Emulator
from localcloud.process import running
from ops.cloud.cloud import Cloud
from ops.environment import read_settings
from ops.gpu.deploy import Wish, deploy
from ops.gpu.names import SERVICES, Names
from ops.rehearsal.rights import Bindings, environment_of
from ops.shell import Shell
from tests.cloud_runs import PROJECT, REGION
from tests.emulated import add_image, names_in, object_of, order_faults, request
from tests.experiments import REPOSITORY
from tests.needs import need_program
from tests.web_services import SENTIMENT

LOCATION = f"/v1/projects/{PROJECT}/locations/{REGION}"
SENTENCE = b"This product is amazing! I love it."
# A model of tests/, which an instance finds by PYTHONPATH; a shard has one unit.
PATIENT = {"MODELS": "gpu_models:Patient", "PYTHONPATH": str(REPOSITORY / "tests"), "SHARD_UNITS": "1"}
WAIT_SECONDS = 60


class GpuLane:
    """A deployed lane, its uploads, executions and results."""

    def __init__(
        self,
        emulator: Emulator,
        variables: Mapping[str, str],
        archive: Path | None = None,
        deployer: str = "",
    ):
        """Build it.

        `variables` are of every service, `archive` is the packed experiment, and `deployer` is the work of
        the person who deploys; "" is the project's owner.
        """
        need_program("gcloud")
        places = {"LOCAL_DATA_PATH": str(emulator.state)}
        self.settings = read_settings({"PROJECT_ID": PROJECT, "REGION": REGION, **places})
        self.emulator, self._variables, self._archive = emulator, variables, archive
        self._deployer = deployer
        self.cloud = self.cloud_of()
        self.names = Names.of(self.settings)
        self.add_images()

    def cloud_of(self, work: str = "", **chosen: Any) -> Cloud:
        """Return the project as whoever does a work sees it; as its owner does without one."""
        environment = environment_of(self.emulator, self.settings, work)
        settings = self.settings.model_copy(update=chosen)
        return Cloud.of(Shell(environment=environment), settings, needs_bucket=False)

    def admit(self, *works: str) -> None:
        """Give the people who do some works their roles, and no others."""
        Bindings((), "the deployment").with_people(works, self.settings).apply(self.emulator)

    def add_images(self) -> None:
        """Put the images there, as if a build of this checkout had done so."""
        for name in SERVICES:
            image = self.names.image(name, self.cloud.settings.image_tag)
            add_image(self.emulator, image, f"sha256:{'0' * 64}")

    def deploy(self, **chosen: Any) -> list[str]:
        """Deploy the lane as an operator does, and return the titles of the steps that were needed."""
        titles: list[str] = []
        wish = Wish(self._archive, "auto", self._variables)
        cloud = self.cloud_of(self._deployer, **chosen)
        deploy(cloud, wish, lambda summary: None, lambda title, _: titles.append(title))
        return titles

    def upload(self, name: str, content: bytes) -> str:
        """Upload a file and return its generation."""
        bucket = self.names.bucket("input")
        url = f"{self.emulator.storage}/upload/storage/v1/b/{bucket}/o?uploadType=media"
        answer = request("POST", url, params={"name": name}, data=content)
        assert answer.status_code == 200, answer.text
        return answer.json()["generation"]

    def api(self, method: str, path: str, **more: Any) -> Any:
        answer = request(method, f"{self.emulator.apis}{LOCATION}{path}", **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def executions(self, name: str, generation: str = "") -> list[dict[str, Any]]:
        """Return the executions that an upload started."""
        path = f"/workflows/{self.names.workflow}/executions?view=FULL&pageSize=100"
        found, page = [], ""
        while True:
            answer = self.api("GET", f"{path}{page}")
            found += answer.get("executions", [])
            if not answer.get("nextPageToken"):
                break
            page = f"&pageToken={answer['nextPageToken']}"
        data = [(each, json.loads(each["argument"]).get("data", {})) for each in found]
        return [
            each
            for each, asked in data
            if asked.get("name") == name and generation in ("", asked.get("generation"))
        ]

    def ended(
        self, name: str, generation: str = "", number: int = 1, seconds: float = WAIT_SECONDS
    ) -> list[dict[str, Any]]:
        """Return the executions of an upload once as many have ended."""
        for _ in until(seconds):
            found = self.executions(name, generation)
            if len(found) >= number and all(each["state"] not in ("ACTIVE", "QUEUED") for each in found):
                return found
        raise AssertionError(f"{name}: {[(each['state'], self.steps(each)) for each in found]}")

    def steps(self, execution: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the newest steps of an execution."""
        path = f"/_emulator/executions/{execution['name'].rpartition('/')[2]}/steps"
        return request("GET", f"{self.emulator.apis}{path}").json().get("steps", [])[-3:]

    def done(self, name: str, generation: str = "", seconds: float = WAIT_SECONDS) -> dict[str, Any]:
        """Return what the only execution of an upload returns, which must have succeeded."""
        (execution,) = self.ended(name, generation, seconds=seconds)
        assert execution["state"] == "SUCCEEDED", execution.get("error")
        return json.loads(execution["result"])

    def check(self) -> dict[str, Any]:
        """Return the health of each service, as the workflow is answered."""
        body = {"argument": json.dumps({"check": True})}
        path = f"/workflows/{self.names.workflow}/executions"
        name = self.api("POST", path, json=body)["name"].rpartition("/")[2]
        for _ in until(WAIT_SECONDS):
            found = self.api("GET", f"{path}/{name}")
            if found["state"] != "ACTIVE":
                assert found["state"] == "SUCCEEDED", found.get("error")
                return json.loads(found["result"])
        raise AssertionError(found)

    def results(self, name: str, generation: str = "") -> list[str]:
        """Return the names of the objects of an upload's results, below the output bucket."""
        place = f"results/{name}/" + (f"{generation}/" if generation else "")
        return names_in(self.emulator, self.names.bucket("output"), place)

    def result(self, name: str, generation: str) -> dict[str, Any]:
        """Return result.json of an upload."""
        place = f"results/{name}/{generation}/result.json"
        return json.loads(object_of(self.emulator, self.names.bucket("output"), place))

    def output(self, name: str) -> bytes:
        return object_of(self.emulator, self.names.bucket("output"), name)

    def instances(self, service: str = "") -> list[dict[str, Any]]:
        """Return the instances that run, of one service or of all."""
        found = request("GET", f"{self.emulator.apis}/_emulator/run").json()
        return [each for each in found if not service or each["service"] == self.names.service(service)]

    def kill(self, service: str) -> None:
        """Kill an instance that has a request, as a machine that is lost."""
        for _ in until(WAIT_SECONDS):
            if busy := [each for each in self.instances(service) if each["busy"]]:
                os.kill(busy[0]["pid"], signal.SIGKILL)
                return
        raise AssertionError(f"no instance of {service} has a request")

    def log(self, service: str, text: str = "") -> list[dict[str, Any]]:
        """Return the log entries of a service that match a filter, oldest first."""
        parts = [
            'resource.type = "cloud_run_revision"',
            f'resource.labels.service_name = "{self.names.service(service)}"',
            *([text] if text else []),
        ]
        asked = {
            "resourceNames": [f"projects/{PROJECT}"],
            "filter": " AND ".join(parts),
            "orderBy": "timestamp asc",
            "pageSize": 1000,
        }
        found: list[dict[str, Any]] = []
        while True:
            answer = request("POST", f"{self.emulator.apis}/v2/entries:list", json=asked)
            assert answer.status_code == 200, answer.text
            found += answer.json().get("entries", [])
            asked["pageToken"] = answer.json().get("nextPageToken", "")
            if not asked["pageToken"]:
                return found

    def predictions(self, text: str = "") -> list[dict[str, Any]]:
        """Return the log entries of predictions that were made, not found; oldest first."""
        entries = self.log("inference", text)
        return [each for each in entries if each.get("jsonPayload", {}).get("skipped") is False]

    def deliver(self, name: str, times: int) -> None:
        """Have the event of an object delivered several times."""
        wish = {"deliveries": {name: times}}
        answer = request("POST", f"{self.emulator.apis}/_emulator/eventarc", json=wish)
        assert answer.status_code == 200, answer.text

    @contextmanager
    def faults(self, *rules: dict[str, Any]) -> Iterator[None]:
        """Inject faults within the block."""
        order_faults(self.emulator, *rules)
        try:
            yield
        finally:
            request("DELETE", f"{self.emulator.apis}/_emulator/faults")

    def fault_hits(self) -> list[int]:
        """Return how many requests each of the rules in force has hit."""
        return [rule["hits"] for rule in request("GET", f"{self.emulator.apis}/_emulator/faults").json()]


@contextmanager
def gpu_lane(
    state: Path, *arguments: str, archive: Path | None = None, deployer: str = "", **variables: str
) -> Iterator[GpuLane]:
    """Yield a lane on an emulated cloud of its own; `variables` are of every service."""
    with running(state, *arguments) as emulator:
        every = {"MODELS": SENTIMENT, "CUDA_VISIBLE_DEVICES": "", **variables}
        lane = GpuLane(emulator, every, archive, deployer)
        if deployer:
            lane.admit(deployer)
        lane.deploy()
        yield lane


def until(seconds: float, pause_seconds: float = 0.1) -> Iterator[None]:
    """Yield again and again for a time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(pause_seconds)
