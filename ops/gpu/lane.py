"""A lane at work: the cloud, its names, what was found of it, and a folder for files that commands read."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.cloud.cloud import Cloud
from ops.gpu.found import Found
from ops.gpu.names import MANAGED_BY, MANUAL, Names
from ops.names import COMPONENT
from ops.settings import Settings


def labels_of(settings: Settings) -> dict[str, str]:
    """Return the labels of all that costs money."""
    return {"component": COMPONENT, MANAGED_BY: MANUAL, "environment": settings.environment}


def as_option(labels: dict[str, str]) -> str:
    """Return labels as gcloud takes them."""
    return ",".join(f"{name}={value}" for name, value in labels.items())


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
        return labels_of(self.cloud.settings)

    @property
    def label_option(self) -> str:
        """The labels as gcloud takes them."""
        return as_option(self.labels)

    def shown_labels(self, labels: dict[str, str]) -> dict[str, str]:
        """Return ours among the labels of a resource, named as differences show them."""
        return {f"label {name}": labels.get(name, "") for name in self.labels}

    def write(self, name: str, content: Any) -> str:
        """Write a JSON file that a command reads, and return its path; a dry run prints it."""
        path, text = self.folder / name, json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        pasted = f"mkdir -p {path.parent} && cat > {path} <<'END'\n{text}END\n"
        self.cloud.shell.write_file(path, text, preview=pasted)
        return str(path)
