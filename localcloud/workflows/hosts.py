"""Where the hosts a workflow calls are on this machine; none other is ever reached."""

from urllib.parse import SplitResult, urlsplit

from localcloud.workflows.errors import error

LOCAL = "127.0.0.1"
STORAGE_HOST = "storage.googleapis.com"
# Those that the port of all other services answers for.
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

# Google's names to addresses: http://127.0.0.1:PORT
Hosts = dict[str, str]


def local_hosts(storage: str, apis: str) -> Hosts:
    return {STORAGE_HOST: storage, **dict.fromkeys(API_HOSTS, apis)}


def split_url(url: str) -> SplitResult:
    """Return the parts of a URL, or raise an error of the workflow where it is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = SplitResult("", "", "", "", "")
    if parts.scheme not in ("http", "https"):
        raise error("ValueError", f"not a URL to call: {url}")
    return parts


def local_address(hosts: Hosts, url: SplitResult) -> str:
    """Return host and port of where a URL leads on this machine.

    Raises
    ------
    WorkflowError
        A ConnectionFailedError, for every other host.
    """
    host = (url.hostname or "").lower()
    if host in hosts:
        return hosts[host].removeprefix("http://")
    if host == LOCAL and url.scheme == "http":
        return url.netloc.rpartition("@")[2]
    known = ", ".join([*sorted(hosts), f"http://{LOCAL}"])
    raise error("ConnectionFailedError", f"localcloud reaches no {url.scheme}://{host}; it knows {known}")
