"""Compute Engine, limited to quotas, subnets and machine types: there are no machines here.

REST API v1: https://cloud.google.com/compute/docs/reference/rest/v1.
POST /_emulator/compute changes what exists:

    {"quotas": {"CPUS": 24}, "usage": {"CPUS": 8}}
    {"subnetwork": "my-lab-forecasts/us-central1/epymodelingsuite"}
    {"families": {"C4D": 24}}
    {"without": ["us-central1-a/c4d-standard-2", "us-central1-b/c4d-standard-2"]}

A region has three zones. A zone has every machine type of terraform/machine_types.json, the table that
Terraform and ops/ read, except those listed as "without". The CPU quota of a newer machine family is known to
Cloud Quotas only; its one route is here, too.
"""

import functools
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.control import PREFIX
from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.routing import Route

_PROJECT = "/compute/v1/projects/{project}"
_REGION = _PROJECT + "/regions/{region}"
OF_PROJECT = ("CPUS_ALL_REGIONS", "NETWORKS")
QUOTAS = {
    "CPUS": 2400,
    "C2_CPUS": 2400,
    "C2D_CPUS": 2400,
    "C3_CPUS": 2400,
    "E2_CPUS": 2400,
    "N2_CPUS": 2400,
    "N2D_CPUS": 2400,
    "T2D_CPUS": 2400,
    "PREEMPTIBLE_CPUS": 2400,
    "INSTANCES": 6000,
    "IN_USE_ADDRESSES": 575,
    "SSD_TOTAL_GB": 81920,
    "HDB_TOTAL_GB": 81920,
    "DISKS_TOTAL_GB": 102400,
    "CPUS_ALL_REGIONS": 2400,
    "NETWORKS": 15,
}
FAMILIES = {"C3D": 2400, "C4": 2400, "C4A": 2400, "C4D": 2400, "N4": 2400}  # of CPUS_PER_VM_FAMILY
FAMILY_QUOTA = "CPUS-PER-VM-FAMILY-per-project-region"
ZONES = ("a", "b", "c")
MACHINE_TABLE = Path(__file__).parents[1] / "terraform" / "machine_types.json"


@dataclass(frozen=True)
class MachineType:
    """What a machine of a type has."""

    vcpus: int
    memory_mib: int


@functools.cache
def machine_types() -> dict[str, MachineType]:
    """Return the machine types by name."""
    return {name: MachineType(**has) for name, has in _machine_table()["types"].items()}


def hyperdisk_only_families() -> list[str]:
    """Return the machine families that boot from a Hyperdisk only."""
    return _machine_table()["hyperdisk_only_families"]


def no_hyperdisk_families() -> list[str]:
    """Return the machine families that cannot boot from a Hyperdisk."""
    return _machine_table()["no_hyperdisk_families"]


@functools.cache
def _machine_table() -> dict[str, Any]:
    return json.loads(MACHINE_TABLE.read_text(encoding="utf-8"))


class ComputeService:
    """The quotas, which are the same for all projects and regions, and the subnets."""

    def __init__(self):
        self._lock = threading.Lock()
        self.forget_all()

    def routes(self) -> list[Route]:
        return [
            Route("GET", _PROJECT, self.get_project),
            Route("GET", _REGION, self.get_region),
            Route("GET", _REGION + "/subnetworks/{subnetwork}", self.get_subnetwork),
            Route("GET", _PROJECT + "/zones/{zone}/machineTypes/{machine_type}", self.get_machine_type),
        ]

    def quota_routes(self) -> list[Route]:
        """Return the routes of Cloud Quotas."""
        place = "/v1beta/projects/{project}/locations/global/services/{service}/quotaInfos/{quota}"
        return [Route("GET", place, self.get_quota_info)]

    def control_routes(self) -> list[Route]:
        return [Route("POST", PREFIX + "compute", self.set)]

    def forget_all(self) -> None:
        with self._lock:
            self._limits: dict[str, float] = dict(QUOTAS)
            self._usage: dict[str, float] = {}
            self._subnetworks: set[str] = set()
            self._families: dict[str, float] = dict(FAMILIES)
            self._without: set[str] = set()

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
            self._families |= asked.get("families", {})
            self._without |= set(asked.get("without", []))
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
            "zones": [f"{request.base_url}/compute/v1/projects/{project}/zones/{region}-{z}" for z in ZONES],
        }
        return json_response(resource)

    def get_machine_type(self, request: Request, project: str, zone: str, machine_type: str) -> Response:
        found = machine_types().get(machine_type)
        with self._lock:
            is_there = found and f"{zone}/{machine_type}" not in self._without
        if not is_there:
            path = f"projects/{project}/zones/{zone}/machineTypes/{machine_type}"
            raise ApiError(404, f"The resource '{path}' was not found")
        return json_response(
            {
                "kind": "compute#machineType",
                "name": machine_type,
                "zone": zone,
                "guestCpus": found.vcpus,
                "memoryMb": found.memory_mib,
            }
        )

    def get_quota_info(self, request: Request, project: str, service: str, quota: str) -> Response:
        if (service, quota) != ("compute.googleapis.com", FAMILY_QUOTA):
            raise ApiError(404, f"The quota {quota} of {service} was not found")
        with self._lock:
            families = dict(self._families)
        infos = [
            {
                "dimensions": {"region": region, "vm_family": family},
                "details": {"value": str(limit)},
                "applicableLocations": [region],
            }
            for region in ("us-central1", "europe-west4")
            for family, limit in families.items()
        ]
        place = f"projects/{project}/locations/global/services/{service}/quotaInfos/{quota}"
        return json_response(
            {
                "name": place,
                "quotaId": quota,
                "metric": "compute.googleapis.com/cpus_per_vm_family",
                "service": service,
                "dimensions": ["region", "vm_family"],
                "dimensionsInfos": infos,
            }
        )

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
