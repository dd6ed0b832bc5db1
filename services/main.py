"""Starts a service: SERVICE=preprocess python -m services.main

It listens once its models are loaded, and has one worker process. Settings are variables
(settings.py). Exit codes are those of the stages: 2 for a wrong setting, 75 for what passes, 1 for a bug.
"""

import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import uvicorn

from modeling.failures import TemporaryFault, UserError
from modeling.threads import set_usable_threads, usable_cores
from pipeline.storage import AccessDenied
from services.app import create_app
from services.device import choose_device
from services.inference import Inference
from services.logs import start_logging
from services.messages import HealthAnswer
from services.objects import Objects
from services.plugins import load_plugins
from services.postprocess import Postprocess
from services.preprocess import Preprocess
from services.settings import Settings, read_settings

log = logging.getLogger(__name__)

HANDLERS = {"preprocess": Preprocess, "postprocess": Postprocess}  # of the services that need no GPU
# Of the four minutes that Cloud Run gives an instance to start, the rest is for the models. Google documents
# typically 2 minutes until a role counts: https://cloud.google.com/iam/docs/access-change-propagation.
PATIENCE_SECONDS, PAUSE_SECONDS = 120, 2
STOP_SECONDS = 8  # that requests have to end after SIGTERM; Cloud Run kills after 10


def main() -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    start_logging(os.environ.get("SERVICE", ""))
    folder = Path(tempfile.mkdtemp(prefix="service-"))

    def leave(number: int, frame: object) -> None:
        """Leave at once, and leave no files: uvicorn repeats the signal when it is done with requests."""
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    try:
        serve(read_settings(os.environ), folder)
    except (UserError, TemporaryFault) as error:
        log.error("%s", error)
        return error.exit_code
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def serve(settings: Settings, folder: Path) -> None:
    """Load what a service needs, then answer requests; `folder` is for copies of files."""
    set_usable_threads(settings.engine_threads or usable_cores())
    device, plugins, objects = choose_device(settings.device), load_plugins(settings.models), Objects()
    if settings.service == "inference":
        handler = Inference(settings, plugins, objects, folder, device)
    else:
        handler = HANDLERS[settings.service](settings, plugins, objects, folder)
    load_once_allowed(handler.load)
    device = handler.device if settings.service == "inference" else device
    health = HealthAnswer(
        service=settings.service,
        version=settings.version,
        models=plugins.labels,
        device=device.name,
        gpu=device.is_gpu,
    )
    at_once = settings.at_once if settings.service == "inference" else 0  # they share one GPU
    app = create_app(handler, health, at_once=at_once, project=settings.project)
    log.info("%s is ready on %s, port %d", settings.service, device.name, settings.port)
    uvicorn.run(
        app,
        host=settings.listen_host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )


def load_once_allowed(load: Callable[[], None]) -> None:
    """Load; after a deployment, the role that lets an account read the models may not count yet.

    Raises
    ------
    UserError, TemporaryFault
        AccessDenied among them, if access is denied for PATIENCE_SECONDS.
    """
    begun = time.monotonic()
    while True:
        try:
            load()
        except AccessDenied as error:
            if time.monotonic() - begun >= PATIENCE_SECONDS:
                raise
            log.warning("%s; asking again", error)
            time.sleep(PAUSE_SECONDS)
        else:
            return


if __name__ == "__main__":
    sys.exit(main())
