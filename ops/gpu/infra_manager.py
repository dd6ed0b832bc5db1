"""The deployment of Infrastructure Manager that a lane is part of: it alone can delete what it has made.

Its resources have the labels that `invoke gpu-apply` gives, too, but the service keeps their state.
"""

import shlex
from collections.abc import Mapping
from typing import Any

from ops.cloud.cloud import Cloud
from ops.failures import UserError
from ops.gpu.found import Found
from ops.gpu.names import Names
from ops.settings import Settings
from ops.terraform_settings import terraform_variables

API = "config"
NAMING = ("project_id", "region", "service_prefix")  # inputs that the names follow from


def refuse_its_lane(cloud: Cloud, names: Names, found: Found) -> None:
    """Refuse to remove a lane that a deployment of Infrastructure Manager has made.

    Raises
    ------
    UserError
        Names the command that deletes the deployment.
    """
    if API not in found.apis:
        return
    words = ["infra-manager", "deployments", "list", *cloud.in_region]
    for deployment in cloud.read_json(words, echo=False) or []:
        if _stem(deployment) == names.stem:
            name = deployment["name"].rpartition("/")[2]
            delete = ["gcloud", "infra-manager", "deployments", "delete", name, *cloud.in_region]
            raise UserError(
                f"nothing was deleted: the deployment {name} of Infrastructure Manager has this lane's "
                "inputs, and alone knows what it has made; delete it, then type this again",
                fix=shlex.join(delete),
            )


def _stem(deployment: Mapping[str, Any]) -> str:
    """Return what the names of a deployment of terraform/gpu/ begin with; "" if it is of another folder."""
    given = deployment.get("terraformBlueprint", {}).get("inputValues", {})
    if "project_id" not in given or not given.keys() <= {*terraform_variables("gpu").values()}:
        return ""
    inputs = {
        name: given[name]["inputValue"] if name in given else Settings.model_fields[name].default
        for name in NAMING
    }
    return Names.of(Settings.model_construct(**inputs)).stem
