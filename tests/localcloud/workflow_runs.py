"""Workflows run without a server: the interpreter alone, with a fast clock."""

import pytest

from localcloud.times import Clock
from localcloud.workflows.call_log import CallLog
from localcloud.workflows.errors import WorkflowError
from localcloud.workflows.hosts import local_hosts
from localcloud.workflows.http_client import HttpClient
from localcloud.workflows.parser import parse_workflow
from localcloud.workflows.run import Run
from localcloud.workflows.strand import run_main

ENVIRONMENT = {"GOOGLE_CLOUD_PROJECT_ID": "p", "GOOGLE_CLOUD_LOCATION": "us-central1"}


def run_of(source, address="http://127.0.0.1:9", clock_speed=1000, on_step=None):
    """Return a run that is not started; all of Google's hosts have one address."""
    http = HttpClient(local_hosts(address, address))
    return Run("e", parse_workflow(source), ENVIRONMENT, Clock(clock_speed), http, CallLog(), on_step=on_step)


def result_of(source, argument=None, **more):
    """Return the result of a workflow, or raise the error that it does not catch."""
    return run_main(run_of(source, **more), argument)


def value_of(expression, argument=None):
    source = "main:\n  params: [args]\n  steps:\n  - r:\n      return: |\n        ${" + expression + "}\n"
    return result_of(source, argument)


def error_of(source, argument=None, **more):
    with pytest.raises(WorkflowError) as raised:
        result_of(source, argument, **more)
    return raised.value
