"""The emulated cloud put together: its services, and the two ports they answer on.

Storage has a port of its own, for its paths are those of buckets; all other services share one.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localcloud.batch.service import BatchService, BatchSettings
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


@contextmanager
def start_cloud(
    state: Path,
    storage_port: int = 0,
    apis_port: int = 0,
    batch_settings: BatchSettings | None = None,
    clock_speed: float = 1.0,
) -> Iterator[dict[str, str]]:
    """Serve until the block ends; yields the address of each port."""
    addresses: dict[str, str] = {}
    faults, log = Faults(), RequestLog()
    storage = StorageService(state / "storage")
    projects, secrets, logs = ProjectService(), SecretService(), LogService()
    batch = BatchService(logs, addresses, state / "batch", batch_settings or BatchSettings(), clock_speed)
    # batch is emptied first: its tasks use the others
    services = [batch, projects, secrets, logs]
    resets = [*(each.forget_all for each in services), storage.forget_all]
    control = [*control_routes(faults, log, resets), *batch.control_routes()]
    routes = [route for each in services for route in each.routes()]
    servers = {
        "storage": Server(storage_port, storage.router(faults, control), faults, log),
        "apis": Server(apis_port, Router([*control, *token_routes(), *with_bearer(routes)]), faults, log),
    }
    for server in servers.values():
        threading.Thread(target=server.serve_forever, daemon=True).start()
    addresses |= {name: server.url for name, server in servers.items()}
    try:
        yield addresses
    finally:
        batch.stop()
