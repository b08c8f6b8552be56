"""ListJobs, with AWS's paging and its odd defaults."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator

from covalent_awsbatch_plugin.job import JobStatus

from ..describe import job_summary
from ..errors import NotLocal, refused
from ..faults.answers import Answers
from ..jobs import Job, Json
from ..store import Store
from . import BATCH_PAGES

STATUS_PAGE = 1000
FILTER_PAGE = 100

Test = Callable[[Job], bool]


class ListOperations:
    """What AWS lists."""

    def __init__(self, store: Store, answers: Answers) -> None:
        self._store = store
        self._answers = answers

    def list_jobs(self, request: Json) -> Json:
        """List the jobs of a queue, or the children of an array, newest first.

        Without a status AWS lists what is RUNNING; with a filter it lists every status. Filters do
        not apply to children.
        """
        jobs = self._candidates(request)
        filters = request.get("filters", []) if "jobQueue" in request else []
        if len(filters) > 1:
            raise refused("Only one filter is supported")  # own wording
        if filters:
            return self._page(request, jobs, _filter_test(filters[0]), FILTER_PAGE)
        status = JobStatus(request.get("jobStatus", JobStatus.RUNNING))
        return self._page(request, jobs, lambda job: job.status is status, STATUS_PAGE)

    def _page(self, request: Json, jobs: list[Job], test: Test, largest: int) -> Json:
        """Return a page; the token is the sequence number of its last job, so later jobs do not shift it."""
        size = min(request.get("maxResults", largest), largest)
        if size < 1:
            raise refused("maxResults must be at least 1")  # own wording
        page: list[Job] = []
        for job in _newest_first(jobs, BATCH_PAGES.position(request, default=-1)):
            seen = self._answers.appearance(job)
            if test(seen) and self._answers.is_listed(job):
                if len(page) == size:
                    return _response(page) | {"nextToken": str(page[-1].sequence)}
                page.append(seen)
        return _response(page)

    def _candidates(self, request: Json) -> list[Job]:
        scopes = [name for name in ("jobQueue", "arrayJobId", "multiNodeJobId") if name in request]
        if len(scopes) != 1:
            # Own wording.
            raise refused("Exactly one of jobQueue, arrayJobId and multiNodeJobId must be given")
        if scopes == ["multiNodeJobId"]:
            raise NotLocal("multi-node parallel jobs")
        if scopes == ["arrayJobId"]:
            return self._children(request["arrayJobId"])
        queue = self._store.queue(request["jobQueue"])
        if queue is None:
            raise refused(f"JobQueue {request['jobQueue']} not found.")
        return queue.jobs

    def _children(self, job_id: str) -> list[Job]:
        job = self._store.jobs.get(job_id)
        if job is None or not job.children:
            raise refused(f"Array job {job_id} not found.")  # own wording
        return job.children


def _response(page: list[Job]) -> Json:
    return {"jobSummaryList": [job_summary(job) for job in page]}


def _newest_first(jobs: list[Job], before: int) -> Iterator[Job]:
    end = len(jobs) if before < 0 else bisect_left(jobs, before, key=lambda job: job.sequence)
    return (jobs[index] for index in range(end - 1, -1, -1))


def _filter_test(condition: Json) -> Test:
    name, values = condition.get("name", ""), condition.get("values", [])
    if name not in FILTERS or len(values) != 1:
        raise refused(f"Filter {name} with {len(values)} values is not supported")  # own wording
    return FILTERS[name](values[0])


def _by_name(value: str) -> Test:
    pattern = value.lower()
    return lambda job: _matches(pattern, job.spec.name.lower())


def _by_definition(value: str) -> Test:
    if value.startswith("arn:"):
        return lambda job: job.spec.definition.arn == value
    return lambda job: _matches(value, job.spec.definition.name)


def _matches(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _created_before(value: str) -> Test:
    time_ms = _milliseconds(value)
    return lambda job: job.created_at_ms < time_ms


def _created_after(value: str) -> Test:
    time_ms = _milliseconds(value)
    return lambda job: job.created_at_ms > time_ms


def _milliseconds(value: str) -> int:
    if not value.isascii() or not value.isdecimal():
        raise refused(f"Filter value {value} is not a time in milliseconds")  # own wording
    return int(value)


FILTERS: dict[str, Callable[[str], Test]] = {
    "JOB_NAME": _by_name,
    "JOB_DEFINITION": _by_definition,
    "BEFORE_CREATED_AT": _created_before,
    "AFTER_CREATED_AT": _created_after,
}
