"""Workflows for tests of the API, and what tests ask it for over plain HTTP."""

import time

NUMBER = "123456789012"
LOCATION = "/v1/projects/p/locations/us-central1"
ECHO = "main: {params: [args], steps: [{r: {return: '${args}'}}]}"
SLEEP = "main: {steps: [{nap: {call: sys.sleep, args: {seconds: 100000000}}}]}"


def wait_until(holds, seconds=20):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def logged(api, log_filter):
    asked = {"resourceNames": ["projects/p"], "filter": log_filter, "pageSize": 100}
    return api("POST", "/v2/entries:list", json=asked).json().get("entries", [])
