"""The Admin API of Cloud Run for tests: services as gcloud sends them, and instances that wait for a test."""

import sys
import threading

from localcloud.iam import AccountService
from localcloud.messages import ApiError
from localcloud.registry import RegistryService
from localcloud.run.deployments import Deployments
from localcloud.run.instance import StartFailed
from localcloud.run.quotas import Quotas
from tests.emulated import add_image
from tests.localcloud.workflow_api import wait_until

PROJECT, REGION = "p", "us-central1"
PLACE = f"/apis/serving.knative.dev/v1/namespaces/{PROJECT}"
HOST = f"{REGION}-run.emulated"
REPOSITORY = f"{REGION}-docker.pkg.dev/{PROJECT}/services"
IMAGE, DIGEST = f"{REPOSITORY}/app:v1", "sha256:" + "a" * 64
ACCELERATOR = {"run.googleapis.com/accelerator": "nvidia-l4"}
L4 = {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}
# A program that answers with its variable VERSION and its revision; with EXIT it ends at once instead.
PROGRAM = """
import http.server, os, sys

class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = f"{os.environ.get('VERSION')} {os.environ['K_REVISION']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

if "EXIT" in os.environ:
    sys.exit(os.environ["EXIT"])
print("ready to answer", flush=True)
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Answers).serve_forever()
"""


def service(
    name="app",
    annotations=(),
    spec=(),
    ingress="",
    nonce="",
    variables=(),
    limits=None,
    labels=(),
    namespace=PROJECT,
    **container,
):
    """Return a service; `annotations` and `spec` are of its template, `container` is of its container."""
    resources = {"limits": limits} if limits else {}
    one = {"image": IMAGE, "resources": resources, "env": list(variables), **container}
    metadata = {"labels": {"client.knative.dev/nonce": nonce} if nonce else {}}
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": dict(labels),
            "annotations": {"run.googleapis.com/ingress": ingress} if ingress else {},
        },
        "spec": {
            "template": {
                "metadata": metadata | {"annotations": dict(annotations)},
                "spec": {"containers": [one], **dict(spec)},
            }
        },
    }


def gpu_service(name="gpu", most="3", **more):
    """Return a service with an L4 that is not refused."""
    annotations = {
        "autoscaling.knative.dev/maxScale": most,
        "run.googleapis.com/cpu-throttling": "False",
        "run.googleapis.com/gpu-zonal-redundancy-disabled": "True",
    }
    spec = {"nodeSelector": ACCELERATOR, "containerConcurrency": 1}
    return service(
        name,
        annotations=annotations | more.pop("annotations", {}),
        spec=spec | more.pop("spec", {}),
        limits=L4 | more.pop("limits", {}),
        **more,
    )


class RunApi:
    """Cloud Run of an emulator, asked over HTTP as gcloud does it."""

    def __init__(self, cloud, api, folder):
        self.cloud, self._api = cloud, api
        self._program = folder / "program.py"
        self._program.write_text(PROGRAM)
        add_image(cloud, IMAGE, DIGEST)

    def http(self, method, path, host=HOST, **more):
        return self._api(method, path, headers={"Host": host}, **more)

    def get(self, name):
        return self.http("GET", f"{PLACE}/services/{name}").json()

    def program(self, name="app", version="1", **more):
        """Return a service whose container is the program above."""
        variables = [{"name": "VERSION", "value": version}, *more.pop("variables", [])]
        command = {"command": [sys.executable], "args": [str(self._program)]}
        return service(name, variables=variables, **command, **more)

    def deploy(self, asked):
        """Create or replace a service, wait until it is deployed, and return it."""
        name = asked["metadata"]["name"]
        answer = self.http("POST", f"{PLACE}/services", json=asked)
        if answer.status_code == 409:
            answer = self.http("PUT", f"{PLACE}/services/{name}", json=asked)
        assert answer.status_code == 200, answer.text
        return self.ended(name)

    def ended(self, name):
        wait_until(lambda: ready(self.get(name))["status"] != "Unknown", seconds=20)
        return self.get(name)

    def refusal(self, asked, code=400):
        """Return the message and the fields with which a service is refused."""
        answer = self.http("POST", f"{PLACE}/services?dryRun=all", json=asked)
        assert answer.status_code == code, answer.text
        error = answer.json()["error"]
        details = [each for each in error.get("details", []) if "fieldViolations" in each]
        return error["message"], [v["field"] for each in details for v in each["fieldViolations"]]

    def revisions(self, selector=""):
        return self.http("GET", f"{PLACE}/revisions", params={"labelSelector": selector}).json()["items"]

    def call(self, url):
        return self.http("GET", "/", host=url.removeprefix("https://"))


def ready(resource):
    return next(each for each in resource["status"]["conditions"] if each["type"] == "Ready")


class HeldInstances:
    """Instances that note what they are asked to do; a start waits for `go`, and fails with `failure`."""

    def __init__(self):
        self.calls = []
        self.go = threading.Event()
        self.failure = ""

    def deploy(self, definition, access):
        self.calls.append(("deploy", definition.revision, access))
        assert self.go.wait(20)
        if self.failure:
            raise StartFailed(self.failure)

    def allow(self, project, region, service, access):
        self.calls.append(("allow", service, access))

    def remove(self, project, region, service):
        self.calls.append(("remove", service))

    def named(self, verb):
        return [each[1] for each in self.calls if each[0] == verb]


class HeldRun:
    """Cloud Run in this process, with instances that start when a test lets them."""

    def __init__(self):
        self.registry = RegistryService()
        self.registry.put(IMAGE, DIGEST)
        self.instances = HeldInstances()
        self.deployments = Deployments(AccountService(), self.registry, Quotas(), self.instances)

    def create(self, asked):
        return self.deployments.create(PROJECT, REGION, asked, False)

    def replace(self, asked):
        return self.deployments.replace((PROJECT, REGION, asked["metadata"]["name"]), asked, False)

    def status(self, name="app"):
        return ready(self.deployments.resource((PROJECT, REGION, name)))["status"]

    def exists(self, name="app"):
        try:
            self.status(name)
        except ApiError:
            return False
        return True
