"""Quotas of Cloud Run: what a revision may ask for, and what Cloud Quotas says about it.

POST /_emulator/run changes them, for all projects and regions:

    {"quotas": {"NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion": 10}}

The service compares the most instances of a revision, times their size, with the quota; what other services
use does not count. The wording is that of messages which users quoted, such as pulumi/pulumi-gcp#3794.
"""

import threading
from collections.abc import Iterator
from typing import Any

from localcloud.control import PREFIX
from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.pages import page_of
from localcloud.routing import Route
from localcloud.run.regions import GPU_REGIONS, L4, REGIONS, RTX
from localcloud.run.violations import Violation

CPU, MEMORY = "CpuAllocPerProjectRegion", "MemAllocPerProjectRegion"  # thousandths of a CPU; bytes
_GPUS = {L4: "NvidiaL4GpuAlloc", RTX: "NvidiaRtxPro6000GpuAlloc"}
# Projects differ. Several users saw 3 L4, 200 CPUs and no GPU with zonal redundancy; users with a new project
# saw 20 CPUs and 40 GiB.
LIMITS = {
    "NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion": 3,
    "NvidiaL4GpuAllocPerProjectRegion": 0,
    "NvidiaRtxPro6000GpuAllocNoZonalRedundancyPerProjectRegion": 1,
    "NvidiaRtxPro6000GpuAllocPerProjectRegion": 0,
    CPU: 200_000,
    MEMORY: 400 * 2**30,
}
_SERVICE = "run.googleapis.com"
_INFOS = "/v1beta/projects/{project}/locations/global/services/" + _SERVICE + "/quotaInfos"
MAX_SCALE = "spec.template.metadata.annotations[autoscaling.knative.dev/maxScale]"


class Quotas:
    """The quotas, which are the same for all projects and regions."""

    def __init__(self):
        self._lock = threading.Lock()
        self.forget_all()

    def routes(self) -> list[Route]:
        """Return the routes of Cloud Quotas."""
        return [Route("GET", _INFOS, self.list), Route("GET", _INFOS + "/{quota}", self.get)]

    def control_routes(self) -> list[Route]:
        return [Route("POST", PREFIX + "run", self.set)]

    def forget_all(self) -> None:
        with self._lock:
            self._limits: dict[str, int] = dict(LIMITS)

    def set(self, request: Request) -> Response:
        asked = request.json().get("quotas", {})
        if not isinstance(asked, dict) or asked.keys() - LIMITS.keys():
            raise ApiError(400, f"quotas must be an object; there are {', '.join(LIMITS)}.")
        if not all(isinstance(value, int) and value >= 0 for value in asked.values()):
            raise ApiError(400, "a quota must be a whole number, 0 or more")
        with self._lock:
            self._limits |= asked
        return json_response({})

    def list(self, request: Request, project: str) -> Response:
        infos = [self._info(project, quota) for quota in LIMITS]
        return json_response(page_of("quotaInfos", zip(infos, infos, strict=True), request, 100, 1000))

    def get(self, request: Request, project: str, quota: str) -> Response:
        if quota not in LIMITS:
            raise ApiError(404, f"The quota {quota} of {_SERVICE} was not found")
        return json_response(self._info(project, quota))

    def gpu_problems(self, accelerator: str, instances: int, zonal_redundancy: bool) -> Iterator[Violation]:
        """Yield what is wrong with the most instances of a revision that has a GPU."""
        quota = _GPUS[accelerator] + ("" if zonal_redundancy else "NoZonalRedundancy") + "PerProjectRegion"
        allowed, request = self._limit(quota), "To request quota: g.co/cloudrun/gpu-quota"
        if allowed == 0:
            kind = "with" if zonal_redundancy else "without"
            other = (
                "\nYou could deploy using GPUs without zonal redundancy instead." if zonal_redundancy else ""
            )
            yield Violation(
                MAX_SCALE,
                f"You do not have quota for using GPUs {kind} zonal redundancy. Learn more about GPU zonal "
                f"redundancy: g.co/cloudrun/gpu-redundancy-help\n\n{request}\n{other}",
            )
        elif instances > allowed:
            yield Violation(
                MAX_SCALE,
                f"Max instances must be set to {allowed} or fewer in order to set GPU requirements.\n"
                f"{request}\n\nQuota violated:\n{quota} requested: {instances} allowed: {allowed}",
            )

    def size_problems(self, instances: int, cpu: float, memory_bytes: float) -> Iterator[Violation]:
        """Yield what is wrong with the most instances of a revision times their size."""
        sizes = {CPU: ("CPU", round(cpu * 1000)), MEMORY: ("memory", round(memory_bytes))}
        over = {
            quota: (what, size, allowed)
            for quota, (what, size) in sizes.items()
            if size * instances > (allowed := self._limit(quota))
        }
        if not over:
            return
        what, size, allowed = next(iter(over.values()))
        violated = [
            f"{quota} requested: {size * instances} allowed: {allowed}"
            for quota, (_, size, allowed) in over.items()
        ]
        yield Violation(
            MAX_SCALE,
            f"Max instances must be set to {allowed // size} or fewer to set the requested total {what}.\n"
            "Consider running your workload in a region with greater capacity, or requesting an increase in "
            "quota for this region if you are seeing sustained usage near this limit, see "
            "https://cloud.google.com/run/quotas.\n\nQuota violated:\n" + "\n".join(violated),
        )

    def _limit(self, quota: str) -> int:
        with self._lock:
            return self._limits[quota]

    def _info(self, project: str, quota: str) -> dict[str, Any]:
        value = str(self._limit(quota))
        accelerator = next((gpu for gpu, start in _GPUS.items() if quota.startswith(start)), "")
        return {
            "name": f"projects/{project}/locations/global/services/{_SERVICE}/quotaInfos/{quota}",
            "quotaId": quota,
            "service": _SERVICE,
            "dimensions": ["region"],
            "dimensionsInfos": [
                {
                    "dimensions": {"region": region},
                    "details": {"value": value},
                    "applicableLocations": [region],
                }
                for region in GPU_REGIONS.get(accelerator, REGIONS)
            ],
        }
