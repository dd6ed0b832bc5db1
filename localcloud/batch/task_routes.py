"""The routes of tasks: get and list, by pages, whatever the number of tasks."""

import re
from collections.abc import Iterator

from localcloud.batch.job import Job
from localcloud.batch.job_store import JobStore
from localcloud.batch.pages import DEFAULT_PAGE, MAX_PAGE, page_end, page_token
from localcloud.batch.tasks import STATES
from localcloud.filters import parse_filter
from localcloud.messages import ApiError, Request, Response, json_response
from localcloud.pages import page_size, whole_number
from localcloud.routing import Route

_TASKS = "/v1/projects/{project}/locations/{location}/jobs/{job}/taskGroups/{group}/tasks"
_INDEX = re.compile("[0-9]{1,6}")
_STATE_ONLY = re.compile(r'\s*(?:status\.)?state\s*=\s*"?(\w+)"?\s*', re.IGNORECASE)


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
        """A filter of the documented form, State=RUNNING, does not look at the other tasks."""
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
        """Hold the lock for one task at a time: a filter may have to look at all of them, for seconds."""
        state = None
        state_only = _STATE_ONLY.fullmatch(text)
        if state_only and state_only[1].upper() in STATES:
            state, text = STATES.index(state_only[1].upper()), f"status.state={state_only[1]}"
        matches = parse_filter(text)  # also of a state: it may have changed since its index was found
        for index in job.tasks.indices(start, state):
            with self._store.lock:
                resource = job.tasks.resource(index, job.group, job.zone)
            named = resource["status"]["state"]
            if matches({"state": named, "State": named, **resource}):  # the documentation leaves out status.
                yield index, resource
