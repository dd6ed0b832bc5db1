"""The settings of a service, read from its environment and checked before it starts."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

from modeling.failures import UserError, did_you_mean

SERVICES = ("preprocess", "inference", "postprocess")
DEVICES = ("auto", "cpu", "cuda")
_PACKAGES = ("numpy", "numba", "epydemix")  # whose versions a result depends on


@dataclass(frozen=True)
class Settings:
    """What a service is started with; each field is a variable of the same name in capitals."""

    service: str
    # module:class of each, by commas
    models: str = "services.models.forecast:Forecast,services.models.sentiment:Sentiment"
    models_bucket: str = ""  # a model's files are below MODEL/; without it each uses its own
    device: str = "auto"
    version: str = "local"  # of the image
    listen_host: str = "127.0.0.1"  # in a container 0.0.0.0
    port: int = 8080
    most_upload_mib: int = 64
    timeout_seconds: int = 300  # of a request; preprocess cuts shards that fit in
    shard_units: int = 0  # most units in a shard; 0: all that fit into a request
    engine_threads: int = 0  # of the engine; 0: one on each usable core
    at_once: int = 1  # most requests that inference works on at the same time
    project: str = ""  # GOOGLE_CLOUD_PROJECT, of traces


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Return the settings in environment variables.

    Raises
    ------
    UserError
        A value is not one of those allowed; the message says which are.
    """
    return Settings(
        service=_choice(environ, "SERVICE", SERVICES, ""),
        models=environ.get("MODELS") or Settings.models,
        models_bucket=environ.get("MODELS_BUCKET", "").removeprefix("gs://").strip("/"),
        device=_choice(environ, "DEVICE", DEVICES, Settings.device),
        version=environ.get("VERSION") or Settings.version,
        listen_host=environ.get("LISTEN_HOST") or Settings.listen_host,
        port=_number(environ, "PORT", Settings.port, 0, 65_535),
        most_upload_mib=_number(environ, "MOST_UPLOAD_MIB", Settings.most_upload_mib, 1, 1024),
        timeout_seconds=_number(environ, "TIMEOUT_SECONDS", Settings.timeout_seconds, 10, 3600),
        shard_units=_number(environ, "SHARD_UNITS", Settings.shard_units, 0, 1_000_000),
        engine_threads=_number(environ, "ENGINE_THREADS", Settings.engine_threads, 0, 1024),
        at_once=_number(environ, "AT_ONCE", Settings.at_once, 1, 1000),
        project=environ.get("GOOGLE_CLOUD_PROJECT", ""),
    )


def versions_of(settings: Settings) -> dict[str, str]:
    """Return the versions that a result depends on: of the image, Python and packages."""
    found = {"image": settings.version, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _choice(environ: Mapping[str, str], name: str, choices: tuple[str, ...], default: str) -> str:
    value = environ.get(name) or default
    if value not in choices:
        raise UserError(f'{name}="{value}": use {", ".join(choices)}{did_you_mean(value, choices)}')
    return value


def _number(environ: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 12 and least <= int(text) <= most):
        raise UserError(f'{name}="{text}": use a whole number from {least:,} to {most:,}')
    return int(text)
