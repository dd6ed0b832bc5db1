"""Our jobs of Batch as its REST API lists them, filtered and sorted by the service.

gcloud asks for all jobs of the region, and filters, sorts and limits what it got. What is asked here is asked
with its credentials.
"""

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import requests
from urllib3.util import Retry

from ops import gcloud
from ops.settings import Settings
from ops.shell import Shell

COMPONENT = "epymodelingsuite"
PAGE = 1000  # jobs, the most that Batch gives
ANSWER_SECONDS = 60
_RETRY = Retry(total=4, backoff_factor=1, status_forcelist=(429, 500, 502, 503, 504), raise_on_status=False)


def newest_jobs(
    shell: Shell, settings: Settings, labels: Mapping[str, str], most: int = PAGE, echo: bool = True
) -> Iterator[dict[str, Any]]:
    """Yield our jobs with these labels, the newest first, a page at a time as they are wanted.

    Parameters
    ----------
    most : int
        How many are wanted, so that a page is no longer.

    Raises
    ------
    GcloudError
        As gcloud.read().
    """
    wanted = {"component": COMPONENT, **labels}
    query = {
        "filter": " AND ".join(f'labels.{name}="{value}"' for name, value in wanted.items()),
        "orderBy": "create_time desc",
        "pageSize": min(most, PAGE),
    }
    path = f"v1/projects/{settings.project_id}/locations/{settings.region}/jobs"
    if echo or shell.dry_run:
        _print_command(f"https://batch.googleapis.com/{path}?{urlencode(query)}")
    if shell.dry_run:
        return
    with requests.Session() as session:
        address = f"{_log_in(shell, session)}{path}"
        while True:
            page = _page(session, address, query, settings.project_id)
            yield from page.get("jobs", [])
            if not page.get("nextPageToken"):
                return
            query["pageToken"] = page["nextPageToken"]


def _print_command(address: str) -> None:
    """Print a line that can be pasted and asks the same; the token is in no argument of ours."""
    token = "Authorization: Bearer $(gcloud auth print-access-token)"
    print(f'+ curl --header "{token}" {shlex.quote(address)}', file=sys.stderr, flush=True)


def _log_in(shell: Shell, session: requests.Session) -> str:
    """Have a session ask as gcloud would, and return the server's address."""
    config = gcloud.read_json(shell, ["config", "config-helper"], echo=False)
    properties = config["configuration"]["properties"]
    server = properties.get("api_endpoint_overrides", {}).get("batch", "https://batch.googleapis.com/")
    session.mount(server, requests.adapters.HTTPAdapter(max_retries=_RETRY))
    session.verify = properties.get("core", {}).get("custom_ca_certs_file") or True
    session.auth = _bearer(config["credential"]["access_token"])
    return server


def _bearer(token: str) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return sign  # a plain header would give way to one of the operator's .netrc


def _page(session: requests.Session, address: str, query: Mapping[str, Any], project: str) -> dict[str, Any]:
    try:
        answer = session.get(address, params=query, timeout=ANSWER_SECONDS)
        if answer.ok:
            return answer.json()
        said = f"HTTPError {answer.status_code}: content <{answer.text}>"
    except requests.RequestException as error:
        said = f"(ConnectionError) {error}"
    raise gcloud.refused(["gcloud", "batch", "jobs", "list", "--project", project], said)
