"""The environment variables that make gcloud and the client libraries use the emulator.

The user's own gcloud configuration is neither read nor written: gcloud gets one in the state folder.
"""

import os
from pathlib import Path

from localcloud.members import OWNER, token_of

# gcloud's names of the services that share the second port
SERVICES = (
    "batch",
    "workflows",
    "workflowexecutions",
    "cloudbilling",
    "cloudbuild",
    "cloudquotas",
    "config",
    "eventarc",
    "logging",
    "monitoring",
    "secretmanager",
    "cloudresourcemanager",
    "serviceusage",
    "iam",
    "artifactregistry",
    "containeranalysis",
)
# gcloud puts the region in front of the host of Cloud Run, so that cannot be an address. Only the second port
# knows this name; it is the proxy for plain http.
RUN_HOST = "run.emulated"


def client_environment(
    storage: str, apis: str, state: Path, project: str, member: str = OWNER
) -> dict[str, str]:
    """Return the variables of a member, through whose door it comes, and write the token file they name."""
    token = state / f"token-{member.partition(':')[2]}"
    token.write_text(token_of(member))
    overrides = {f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name.upper()}": f"{apis}/" for name in SERVICES}
    return {
        "CLOUDSDK_CONFIG": str(state / "gcloud"),
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token),
        "CLOUDSDK_CORE_PROJECT": project,
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{storage}/",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": f"{apis}/compute/v1/",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN": f"http://{RUN_HOST}/",
        "http_proxy": apis,
        **overrides,
        "GOOGLE_CLOUD_PROJECT": project,
        "STORAGE_EMULATOR_HOST": storage,
        "SECRET_MANAGER_EMULATOR_HOST": apis,
        **_past_proxies(),
    }


def _past_proxies() -> dict[str, str]:
    """Return the variables that keep requests to this machine away from a proxy."""
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
    hosts = ",".join(dict.fromkeys([*filter(None, known.split(",")), "127.0.0.1", "localhost"]))
    return {"no_proxy": hosts, "NO_PROXY": hosts}
