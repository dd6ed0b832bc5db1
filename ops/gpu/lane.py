"""A lane at work: the cloud, its names, what was found of it, and a folder for files that commands read."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.cloud.cloud import Cloud
from ops.gpu.found import Found
from ops.gpu.names import Names
from ops.names import COMPONENT

MANAGED_BY = "managed-by"
MANUAL, TERRAFORM = "manual", "terraform"  # values of the label MANAGED_BY


@dataclass(frozen=True)
class Lane:
    """What the parts of a deployment need to plan their changes."""

    cloud: Cloud
    names: Names
    found: Found
    folder: Path

    @property
    def labels(self) -> dict[str, str]:
        """Labels of all that costs money."""
        return {
            "component": COMPONENT,
            MANAGED_BY: MANUAL,
            "environment": self.cloud.settings.environment,
        }

    @property
    def label_option(self) -> str:
        """The labels as gcloud takes them."""
        return ",".join(f"{name}={value}" for name, value in self.labels.items())

    def shown_labels(self, labels: dict[str, str]) -> dict[str, str]:
        """Return ours among the labels of a resource, named as differences show them."""
        return {f"label {name}": labels.get(name, "") for name in self.labels}

    def write(self, name: str, content: Any) -> str:
        """Write a JSON file that a command reads, and return its path; a dry run prints it."""
        path, text = self.folder / name, json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        pasted = f"mkdir -p {path.parent} && cat > {path} <<'END'\n{text}END\n"
        self.cloud.shell.write_file(path, text, preview=pasted)
        return str(path)
