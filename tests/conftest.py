"""Fixtures that many tests share."""

import os
from pathlib import Path

import pytest

from tests.experiments import REPOSITORY


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """The folder of real populations and admissions; TEST_DATA_DIR names another."""
    folder = Path(os.environ.get("TEST_DATA_DIR") or REPOSITORY.parent / "shared" / "data")
    if not (folder / "flusight").is_dir():
        message = f"no reference data in {folder}; set TEST_DATA_DIR"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder
