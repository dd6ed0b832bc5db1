"""Plans terraform/ for an emulated cloud, without a project: what the plan reads is in the emulated cloud.

Terraform needs its provider, from the network, from a mirror that its own configuration names
(TF_CLI_CONFIG_FILE), or from an earlier `invoke tf-init`. No request goes to Google.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localcloud.members import OWNER, token_of
from localcloud.process import Cloud as Emulator
from localcloud.process import running
from ops.failures import UserError
from ops.project.terraform import FOLDER, variables
from ops.project.terraform_root import INIT_SECONDS, KEPT, check_version, first_error
from ops.rehearsal.populate import populate
from ops.settings import Settings
from ops.shell import Shell
from ops.terminal import nearest

PLAN_SECONDS = 300
BACKEND = 'terraform {\n  backend "local" {}\n}\n'
NOBODY = "http://127.0.0.1:9"  # a proxy that is not there
# Settings of Terraform and its provider that would change the plan, or send requests to Google.
_OTHERS = ("TF_CLI_ARGS", "TF_WORKSPACE", "TF_DATA_DIR", "GOOGLE_", "GCLOUD_", "CLOUDSDK_")


def planned(shell: Shell, settings: Settings, folder: Path) -> dict[str, Any]:
    """Return the plan of terraform/ as `terraform show -json` prints it.

    Raises
    ------
    UserError
        Terraform or its provider is missing, or the settings cannot be planned.
    """
    check_version(shell)
    with tempfile.TemporaryDirectory(prefix="planned-", dir=folder) as own:
        return _planned(shell, settings, Path(own))


def show_commands(shell: Shell, folder: Path) -> None:
    """Print how terraform/ is planned, in a dry run."""
    _ran(shell, folder / "terraform", {}, "init", INIT_SECONDS)
    _plan(shell, folder / "terraform", {})


def _planned(shell: Shell, settings: Settings, folder: Path) -> dict[str, Any]:
    root, environment = folder / "terraform", _environment()
    shutil.copytree(FOLDER, root, ignore=shutil.ignore_patterns(f"{KEPT}*", "gpu", "tests"))
    (root / "backend.tf").write_text(BACKEND)
    _ran(shell, root, environment, "init", INIT_SECONDS, *_providers())
    with running(folder / "cloud") as emulator:
        populate(emulator.storage, emulator.apis, settings)
        asked = environment | _addresses(emulator) | variables(_without_budget(settings))
        return _plan(shell, root, asked)


def _plan(shell: Shell, root: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    _ran(shell, root, environment, "plan", PLAN_SECONDS, "-refresh=false", "-out=tfplan")
    said = _ran(shell, root, environment, "show", PLAN_SECONDS, "-json", "tfplan")
    return json.loads(said or "{}")


def _ran(
    shell: Shell, root: Path, environment: Mapping[str, str], verb: str, seconds: float, *options: str
) -> str:
    """Run a command of Terraform, and return what it prints."""
    options = options if verb == "show" else ("-input=false", "-no-color", *options)
    argv = ["terraform", f"-chdir={nearest(root)}", verb, *options]
    ended = shell.run(argv, environment, timeout_seconds=seconds)
    if ended and ended.exit_code:
        raise UserError(f"terraform {verb}: {first_error(ended)[:400] or 'it printed nothing'}")
    return ended.output if ended else ""


def _providers() -> list[str]:
    """Return the option for the providers that `invoke tf-init` has fetched, if it has."""
    fetched = FOLDER / KEPT / "providers"
    return [f"-plugin-dir={fetched}"] if fetched.is_dir() else []


def _environment() -> dict[str, str]:
    others = {name: "" for name in os.environ if name.startswith(_OTHERS)}
    return others | {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}


def _addresses(emulator: Emulator) -> dict[str, str]:
    """Return the variables that have the provider ask the emulated cloud, and nobody else.

    https://registry.terraform.io/providers/hashicorp/google/latest/docs/guides/provider_reference
    """
    return {
        "GOOGLE_OAUTH_ACCESS_TOKEN": token_of(OWNER),
        "GOOGLE_STORAGE_CUSTOM_ENDPOINT": f"{emulator.storage}/storage/v1/",
        "GOOGLE_SECRET_MANAGER_CUSTOM_ENDPOINT": f"{emulator.apis}/v1/",
        **dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), NOBODY),
        **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
    }


def _without_budget(settings: Settings) -> Settings:
    """Return the settings without a budget, whose plan reads the project's number; it gives no rights."""
    return settings.model_copy(update={"monthly_budget_usd": 0, "billing_account": ""})
