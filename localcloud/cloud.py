"""The emulated cloud put together: its services, and the two ports they answer on.

Storage has a port of its own, for its paths are those of buckets; all other services share one.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localcloud.control import control_routes
from localcloud.faults import Faults
from localcloud.logs import LogService
from localcloud.projects import ProjectService
from localcloud.request_log import RequestLog
from localcloud.routing import Router
from localcloud.secrets import SecretService
from localcloud.server import Server
from localcloud.storage.service import StorageService
from localcloud.tokens import token_routes, with_bearer
from localcloud.workflows.hosts import Hosts, local_hosts
from localcloud.workflows.service import WorkflowService


@contextmanager
def start_cloud(
    state: Path, storage_port: int = 0, apis_port: int = 0, clock_speed: float = 1.0
) -> Iterator[dict[str, str]]:
    """Serve until the block ends; yields the address of each port.

    `clock_speed` is that of the time inside of workflows: 60 makes a minute's sleep take a second.
    """
    faults, log = Faults(), RequestLog()
    storage = StorageService(state / "storage")
    projects, secrets, logs = ProjectService(), SecretService(), LogService()
    hosts: Hosts = {}
    workflows = WorkflowService(logs, hosts, clock_speed)
    services = [projects, secrets, logs, workflows]
    control = control_routes(faults, log, [storage.forget_all, *(each.forget_all for each in services)])
    control += workflows.control_routes()
    routes = [route for each in services for route in each.routes()]
    servers = {
        "storage": Server(storage_port, storage.router(faults, control), faults, log),
        "apis": Server(apis_port, Router([*control, *token_routes(), *with_bearer(routes)]), faults, log),
    }
    hosts.update(local_hosts(servers["storage"].url, servers["apis"].url))
    for server in servers.values():
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {name: server.url for name, server in servers.items()}
