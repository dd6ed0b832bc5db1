"""What several files of this lane begin with: a finished run of this machine, and a hub with target data."""

import shutil

import pytest

from tests.experiments import sampled
from tests.operators import RUN, Operator
from tests.target_hubs import TestHub


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """A folder with a finished run of three inputs; tests work on copies."""
    operator = Operator(tmp_path_factory.mktemp("untouched"), sampled())
    operator.invoke("stage", "builder", *RUN[1:])
    ended = operator.invoke(*RUN)
    assert ended.exit_code == 0, ended.output
    return operator


@pytest.fixture
def finished(untouched, tmp_path):
    """A copy of the finished run: an operator in its folder."""
    shutil.copytree(untouched.folder / "local", tmp_path / "local")
    return Operator(tmp_path, sampled())


@pytest.fixture
def hub(monkeypatch):
    """A hub on this machine; no proxy stands between."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with TestHub() as made:
        yield made
