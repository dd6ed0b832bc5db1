"""Services of Cloud Run for tests: a gateway and its instances in this process, and apps that they run."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from urllib.parse import urlsplit, urlunsplit

import requests

from localcloud.control import RequestLog
from localcloud.faults import Faults
from localcloud.filters import parse_filter
from localcloud.iam import AccountService, token_routes
from localcloud.identity import Identity
from localcloud.logs import LogService
from localcloud.rights.actors import unenforced
from localcloud.routing import Router
from localcloud.run.definition import Access, Definition, Probe
from localcloud.run.gateway import Gateway
from localcloud.run.instances import Instances
from localcloud.server import Server
from localcloud.times import Clock

PROJECT, REGION = "p", "us-central1"
CALLER = "caller@p.iam.gserviceaccount.com"
SLEEPER = """
import os, time
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
import uvicorn

def answer(request):
    time.sleep(float(request.query_params.get("seconds", 0)))
    return JSONResponse({"pid": os.getpid(), "headers": dict(request.headers)})

app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])
uvicorn.run(app, port=int(os.environ["PORT"]), access_log=False, log_level="error")
"""
PUBLIC = Access("all", frozenset({"allUsers"}), frozenset())
_numbers = count(1)


def only(*emails, ingress="all"):
    """Return access for some service accounts."""
    return Access(ingress, frozenset(f"serviceAccount:{each}" for each in emails), frozenset())


def create_account(services, email):
    body = {"accountId": email.partition("@")[0]}
    url = f"{services.server.url}/v1/projects/{PROJECT}/serviceAccounts"
    answer = requests.post(url, json=body, timeout=5)
    assert answer.ok, answer.text


def definition(folder, app, name="", **settings):
    """Return a revision of a service whose program is written to a folder."""
    number = next(_numbers)
    name = name or f"app-{number}"
    program = folder / f"app-{number}.py"
    program.write_text(app)
    usual = {
        "project": PROJECT,
        "region": REGION,
        "service": name,
        "revision": f"{name}-{number:05d}-abc",
        "image": "any",
        "command": (sys.executable, str(program)),
        "env": {},
        "account": f"{name}@p.iam.gserviceaccount.com",
        "concurrency": 80,
        "max_instances": 100,
        "min_instances": 0,
        "timeout_seconds": 300,
        "probe": Probe(),
        "has_gpu": False,
        "cpu": 1,
        "memory_mib": 512,
    }
    return Definition(**usual | settings)


class Services:
    """Services of one region, called as their callers do it: over HTTP, by host name."""

    def __init__(self, state, clock_speed=1.0, idle_seconds=900.0, now=None):
        self.logs = LogService()
        self.identity = Identity(now) if now else Identity()
        actors = unenforced({"storage": "http://127.0.0.1:1", "apis": "http://127.0.0.1:1"})
        self.state = state
        self.instances = Instances(self.logs, actors, state, Clock(clock_speed), idle_seconds)
        self.accounts = AccountService()
        routes = [
            *self.instances.control_routes(),
            *token_routes(self.accounts, self.identity, actors.rights),
        ]
        gateway = Gateway(self.instances, self.identity, actors.rights)
        router = Router([*routes, *self.accounts.routes()], by_host=gateway.match)
        self.faults = Faults()
        self.server = Server(0, router, self.faults, RequestLog())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self._calls = ThreadPoolExecutor(64)

    def deploy(self, app, access=None, name="", **settings):
        """Deploy an app, the text of a Python program, and return the service's URL."""
        defined = definition(self.state, app, name, **settings)
        url = f"https://{defined.service}-123456789012.{REGION}.run.app"
        self.instances.deploy(defined, replace(access or PUBLIC, audiences=frozenset({url})))
        return url

    def allow(self, name, access, url):
        self.instances.allow(PROJECT, REGION, name, replace(access, audiences=frozenset({url})))

    def call(self, url, method="GET", headers=(), **more):
        at = urlsplit(url)
        target = f"{self.server.url}{urlunsplit(at._replace(scheme='', netloc=''))}"
        return requests.request(
            method, target, headers={"Host": at.netloc, **dict(headers)}, timeout=30, **more
        )

    def call_later(self, url, **more):
        return self._calls.submit(self.call, url, **more)

    def status(self, **wanted):
        """Return the processes with some facts, as the emulator's own route tells them."""
        lines = requests.get(f"{self.server.url}/_emulator/run", timeout=5).json()
        return [each for each in lines if wanted.items() <= each.items()]

    def logged(self, text):
        return self.logs.select(parse_filter(text))

    def close(self):
        self.instances.close()
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def serving(state, **settings):
    services = Services(state, **settings)
    try:
        yield services
    finally:
        services.close()


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
