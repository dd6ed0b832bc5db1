"""The local addresses of the hosts that a workflow calls; no other host is ever reached.

The hosts of Cloud Run's services share the port of the APIs, where the Host header chooses the service.
"""

from urllib.parse import SplitResult, urlsplit

from localcloud.run.access import RUN_DOMAIN
from localcloud.workflows.errors import error

LOCAL = "127.0.0.1"
STORAGE_HOST = "storage.googleapis.com"
# Hosts of the services that share the second port.
API_HOSTS = (
    "artifactregistry.googleapis.com",
    "batch.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "compute.googleapis.com",
    "iam.googleapis.com",
    "logging.googleapis.com",
    "secretmanager.googleapis.com",
    "serviceusage.googleapis.com",
    "workflowexecutions.googleapis.com",
    "workflows.googleapis.com",
)
CALLBACK_HOST = "workflowexecutions.googleapis.com"

# Google's host names to http://127.0.0.1:PORT
Hosts = dict[str, str]


def local_hosts(storage: str, apis: str) -> Hosts:
    return {STORAGE_HOST: storage, **dict.fromkeys((*API_HOSTS, RUN_DOMAIN), apis)}


def is_run_host(url: SplitResult) -> bool:
    """Return whether a URL is that of a service of Cloud Run."""
    return (url.hostname or "").lower().endswith(RUN_DOMAIN)


def split_url(url: str) -> SplitResult:
    """Return the parts of a URL, or raise an error of the workflow if it is not one."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = SplitResult("", "", "", "", "")
    if parts.scheme not in ("http", "https"):
        raise error("ValueError", f"not a URL to call: {url}")
    return parts


def local_address(hosts: Hosts, url: SplitResult) -> str:
    """Return the local host and port for a URL.

    Raises
    ------
    WorkflowError
        ConnectionFailedError: the host is neither emulated nor 127.0.0.1.
    """
    host = (url.hostname or "").lower()
    if is_run_host(url) and url.scheme == "https":
        host = RUN_DOMAIN
    if host in hosts:
        return hosts[host].removeprefix("http://")
    if host == LOCAL and url.scheme == "http":
        return url.netloc.rpartition("@")[2]
    known = ", ".join(
        [*sorted(each.replace(RUN_DOMAIN, f"*{RUN_DOMAIN}") for each in hosts), f"http://{LOCAL}"]
    )
    raise error("ConnectionFailedError", f"localcloud reaches no {url.scheme}://{host}; it knows {known}")
