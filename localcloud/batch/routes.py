"""The routes of Batch: jobs (create, get, list, cancel, delete, and their operations) and their tasks."""

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from localcloud.batch.definition import read_definition
from localcloud.batch.jobs import DELETING, OVER, Job, JobStore
from localcloud.batch.null_tasks import is_null_definition
from localcloud.batch.operations import PREFIX, Operations
from localcloud.batch.rules import MAX_DEFINITION_BYTES, check_is_emulated, check_job_id, check_region
from localcloud.batch.scheduler import Scheduler
from localcloud.batch.tasks import STATES
from localcloud.filters import parse_filter
from localcloud.messages import ApiError, Request, Response, json_object, json_response
from localcloud.pages import DEFAULT_PAGE, MAX_PAGE, page_end, page_size, page_token, whole_number
from localcloud.projects import DEFAULT_ACCOUNT
from localcloud.rights.callers import need_to_act_as
from localcloud.routing import Route

_PARENT = "/v1/projects/{project}/locations/{location}"
_JOBS = _PARENT + "/jobs"
_JOB = _JOBS + "/{job}"
_TASKS = _JOB + "/taskGroups/{group}/tasks"
_INDEX = re.compile("[0-9]{1,6}")
_STATE_ONLY = re.compile(r'\s*(?:status\.)?state\s*=\s*"?(\w+)"?\s*', re.IGNORECASE)

# orderBy to the sort key and whether it is descending; the service's default order is not documented
_ORDERS: dict[str, tuple[Callable[[Job], Any], bool]] = {
    "name": (lambda job: job.name, False),
    "name desc": (lambda job: job.name, True),
    "create_time": (lambda job: job.number, False),
    "create_time desc": (lambda job: job.number, True),
}
_DEFAULT_ORDER = "create_time desc"


class JobRoutes:
    def __init__(self, store: JobStore, scheduler: Scheduler, mode: str):
        self._store, self._scheduler, self._mode = store, scheduler, mode
        self.operations = Operations(store)

    def routes(self) -> list[Route]:
        return [
            Route("POST", _JOBS, self.create),
            Route("GET", _JOBS, self.list_jobs),
            Route("POST", _JOB + ":cancel", self.cancel),
            Route("GET", _JOB, self.get),
            Route("DELETE", _JOB, self.delete),
            Route("GET", _PARENT + f"/operations/{PREFIX}" + "{operation}", self.get_operation),
        ]

    def create(self, request: Request, project: str, location: str) -> Response:
        job_id = request.query.get("jobId") or f"j-{uuid.uuid4()}"
        request_id = request.query.get("requestId", "")
        check_region(location)
        check_job_id(job_id)
        if request_id:
            _check_request_id(request_id)
        body = request.read_all()
        if len(body) > MAX_DEFINITION_BYTES:
            raise ApiError(400, f"The definition of a job may have {MAX_DEFINITION_BYTES} bytes at most.")
        definition = read_definition(json_object(body), job_id, location)
        # Batch's own agent uses the network: https://cloud.google.com/batch/docs/specify-network
        account = definition["allocationPolicy"].get("serviceAccount", {}).get("email") or DEFAULT_ACCOUNT
        need_to_act_as(account, project)
        if self._mode != "null" and not is_null_definition(definition):
            check_is_emulated(definition, has_containers=self._mode == "docker")
        with self._store.lock:
            job, is_new = self._store.create(project, location, job_id, definition, request_id)
            resource = job.resource()
            if is_new:
                self._scheduler.submit(job)
        return json_response(resource)

    def get(self, request: Request, project: str, location: str, job: str) -> Response:
        found = self._store.find(project, location, job)
        with self._store.lock:
            resource = found.resource()
        return json_response(resource)

    def list_jobs(self, request: Request, project: str, location: str) -> Response:
        matches = parse_filter(request.query.get("filter", ""))
        size, key = page_size(request.query, DEFAULT_PAGE, MAX_PAGE), _order(request.query)[0]
        page: list[dict[str, Any]] = []
        last = None
        for job in self._in_order(project, location, request.query):
            with self._store.lock:
                resource = job.resource()
            if not matches(resource):
                continue
            if len(page) == size:
                return json_response({"jobs": page, "nextPageToken": page_token(str(key(last)))})
            page.append(resource)
            last = job
        return json_response({"jobs": page} if page else {})

    def cancel(self, request: Request, project: str, location: str, job: str) -> Response:
        request.read_all()
        found = self._store.find(project, location, job)
        with self._store.lock:
            if found.state in (*OVER, DELETING):
                message = f"Job '{found.name}' is in state {found.state} and cannot be cancelled"
                raise ApiError(400, message, status="FAILED_PRECONDITION")
            self._scheduler.cancel(found)
        return json_response(self.operations.begin(found, "cancel"))

    def delete(self, request: Request, project: str, location: str, job: str) -> Response:
        found = self._store.find(project, location, job)
        self._scheduler.delete(found)
        return json_response(self.operations.begin(found, "delete"))

    def get_operation(self, request: Request, project: str, location: str, operation: str) -> Response:
        return json_response(self.operations.find(project, location, PREFIX + operation))

    def _in_order(self, project: str, location: str, query: Mapping[str, str]) -> list[Job]:
        """Return the jobs after the end of the page before, in the requested order."""
        key, is_descending = _order(query)
        jobs = sorted(self._store.all_of(project, location), key=key, reverse=is_descending)
        end = page_end(query)
        if not end or not jobs:
            return jobs
        try:
            last = type(key(jobs[0]))(end)
        except ValueError:
            raise ApiError(400, "page_token is of a list in another order") from None
        return [job for job in jobs if (key(job) < last if is_descending else key(job) > last)]


def _order(query: Mapping[str, str]) -> tuple[Callable[[Job], Any], bool]:
    asked = " ".join(query.get("orderBy", "").split()) or _DEFAULT_ORDER
    if asked not in _ORDERS:
        raise ApiError(400, f"order_by {asked!r} is not one of {', '.join(_ORDERS)}")
    return _ORDERS[asked]


def _check_request_id(request_id: str) -> None:
    try:
        is_good = uuid.UUID(request_id).int != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise ApiError(400, f"request_id {request_id!r} must be a UUID other than zero")


class TaskRoutes:
    def __init__(self, store: JobStore):
        self._store = store

    def routes(self) -> list[Route]:
        return [Route("GET", _TASKS, self.list_tasks), Route("GET", _TASKS + "/{task}", self.get)]

    def get(self, request: Request, project: str, location: str, job: str, group: str, task: str) -> Response:
        found = self._find(project, location, job, group)
        if not (_INDEX.fullmatch(task) and int(task) < found.tasks.count):
            raise ApiError(404, f"Resource '{found.group}/tasks/{task}' was not found")
        with self._store.lock:
            resource = found.tasks.resource(int(task), found.group, found.zone)
        return json_response(resource)

    def list_tasks(self, request: Request, project: str, location: str, job: str, group: str) -> Response:
        """List tasks; a filter of the documented form State=RUNNING skips all others quickly."""
        found = self._find(project, location, job, group)
        size = page_size(request.query, DEFAULT_PAGE, MAX_PAGE)
        end = page_end(request.query)
        start = whole_number({"pageToken": end}, "pageToken") + 1 if end else 0
        page = {}
        for index, resource in self._matching(found, start, request.query.get("filter", "")):
            if len(page) == size:
                return json_response(
                    {"tasks": list(page.values()), "nextPageToken": page_token(str(max(page)))}
                )
            page[index] = resource
        return json_response({"tasks": list(page.values())} if page else {})

    def _find(self, project: str, location: str, job: str, group: str) -> Job:
        found = self._store.find(project, location, job)
        if group != "group0":
            raise ApiError(404, f"Resource '{found.name}/taskGroups/{group}' was not found")
        return found

    def _matching(self, job: Job, start: int, text: str) -> Iterator[tuple[int, dict]]:
        """Yield matching tasks, locking one at a time: a filter may read all of them, which takes seconds."""
        state = None
        state_only = _STATE_ONLY.fullmatch(text)
        if state_only and state_only[1].upper() in STATES:
            state, text = STATES.index(state_only[1].upper()), f"status.state={state_only[1]}"
        matches = parse_filter(text)  # for a state, too: it may have changed since the index was found
        for index in job.tasks.indices(start, state):
            with self._store.lock:
                resource = job.tasks.resource(index, job.group, job.zone)
            named = resource["status"]["state"]
            if matches({"state": named, "State": named, **resource}):  # documented without "status."
                yield index, resource
