"""Programs a test cannot do without: skipped where one is missing, failed in continuous tests."""

import os
import shutil

import pytest


def need_program(name: str) -> str:
    """The path of a program; where CI is "true" a missing one is a failure, not a skip."""
    path = shutil.which(name)
    if path:
        return path
    if os.environ.get("CI") == "true":
        pytest.fail(f"{name} is not installed, and no test is skipped in continuous tests")
    pytest.skip(f"{name} is not installed")
