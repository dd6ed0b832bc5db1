"""Compute Engine, as far as a project's quotas and subnets go: there is no machine here.

REST API v1: https://cloud.google.com/compute/docs/reference/rest/v1.
POST /_emulator/compute sets what there is:

    {"quotas": {"CPUS": 24}, "usage": {"CPUS": 8}}
    {"subnetwork": "my-lab-forecasts/us-central1/epymodelingsuite"}
"""

import threading
from typing import Any

from localcloud.control import PREFIX
from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.routing import Route

_PROJECT = "/compute/v1/projects/{project}"
_REGION = _PROJECT + "/regions/{region}"
OF_PROJECT = ("CPUS_ALL_REGIONS", "NETWORKS")
QUOTAS = {
    "CPUS": 2400,
    "PREEMPTIBLE_CPUS": 2400,
    "INSTANCES": 6000,
    "IN_USE_ADDRESSES": 575,
    "SSD_TOTAL_GB": 81920,
    "DISKS_TOTAL_GB": 102400,
    "CPUS_ALL_REGIONS": 2400,
    "NETWORKS": 15,
}


class ComputeService:
    """The quotas, which all projects and regions have alike, and the subnets."""

    def __init__(self):
        self._lock = threading.Lock()
        self.forget_all()

    def routes(self) -> list[Route]:
        return [
            Route("GET", _PROJECT, self.get_project),
            Route("GET", _REGION, self.get_region),
            Route("GET", _REGION + "/subnetworks/{subnetwork}", self.get_subnetwork),
        ]

    def control_routes(self) -> list[Route]:
        return [Route("POST", PREFIX + "compute", self.set)]

    def forget_all(self) -> None:
        with self._lock:
            self._limits: dict[str, float] = dict(QUOTAS)
            self._usage: dict[str, float] = {}
            self._subnetworks: set[str] = set()

    def set(self, request: Request) -> Response:
        asked = request.json()
        unknown = {*asked.get("quotas", {}), *asked.get("usage", {})} - set(QUOTAS)
        if unknown:
            raise ApiError(
                400, f"No such quota: {', '.join(sorted(unknown))}; there are {', '.join(QUOTAS)}."
            )
        with self._lock:
            self._limits |= asked.get("quotas", {})
            self._usage |= asked.get("usage", {})
            self._subnetworks |= {asked["subnetwork"]} if "subnetwork" in asked else set()
        return json_response({})

    def get_project(self, request: Request, project: str) -> Response:
        resource = {"kind": "compute#project", "name": project, "quotas": self._quotas(of_project=True)}
        return json_response(resource)

    def get_region(self, request: Request, project: str, region: str) -> Response:
        resource = {
            "kind": "compute#region",
            "name": region,
            "status": "UP",
            "selfLink": f"{request.base_url}/compute/v1/projects/{project}/regions/{region}",
            "quotas": self._quotas(of_project=False),
        }
        return json_response(resource)

    def get_subnetwork(self, request: Request, project: str, region: str, subnetwork: str) -> Response:
        with self._lock:
            is_there = f"{project}/{region}/{subnetwork}" in self._subnetworks
        path = f"projects/{project}/regions/{region}/subnetworks/{subnetwork}"
        if not is_there:
            raise ApiError(404, f"The resource '{path}' was not found")
        base = f"{request.base_url}/compute/v1/projects/{project}"
        resource = {
            "kind": "compute#subnetwork",
            "name": subnetwork,
            "network": f"{base}/global/networks/{subnetwork}",
            "region": f"{base}/regions/{region}",
            "selfLink": f"{request.base_url}/compute/v1/{path}",
            "ipCidrRange": "10.0.0.0/20",
            "privateIpGoogleAccess": True,
        }
        return json_response(resource)

    def _quotas(self, of_project: bool) -> list[dict[str, Any]]:
        with self._lock:
            return [
                {"metric": name, "limit": float(limit), "usage": float(self._usage.get(name, 0))}
                for name, limit in self._limits.items()
                if (name in OF_PROJECT) == of_project
            ]
