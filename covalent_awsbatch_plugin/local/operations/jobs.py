"""SubmitJob, DescribeJobs, and the ways to end a job."""

from __future__ import annotations

from collections.abc import Callable

from .. import rules
from ..describe import job_detail
from ..engine import Engine
from ..errors import refused
from ..faults.answers import Answers
from ..jobs import Job, Json
from ..store import Store
from ..submission import build_spec

MAX_DESCRIBED_JOBS = 100
MAX_BULK_JOBS = 50


class JobOperations:
    """What AWS does with single jobs."""

    def __init__(self, engine: Engine, store: Store, answers: Answers) -> None:
        self._engine = engine
        self._store = store
        self._answers = answers

    def submit_job(self, request: Json) -> Json:
        """Accept a job or an array of jobs."""
        queue = self._store.queue(request["jobQueue"])
        if queue is None:
            raise refused(f"JobQueue {request['jobQueue']} not found.")
        definition = self._store.definition_to_submit(request["jobDefinition"])
        spec = build_spec(request, definition, queue, self._engine.jobs)
        job = self._engine.submit(spec, request.get("arrayProperties", {}).get("size"))
        return {"jobArn": job.arn, "jobName": spec.name, "jobId": job.id}

    def describe_jobs(self, request: Json) -> Json:
        """Describe jobs by id; unknown ids are silently absent, as on AWS."""
        ids = request["jobs"]
        if len(ids) > MAX_DESCRIBED_JOBS:
            raise refused(f"Maximum number of jobs supported is  {MAX_DESCRIBED_JOBS} .")
        known = [job for job_id in dict.fromkeys(ids) if (job := self._known(job_id)) is not None]
        seen = [self._answers.appearance(job) for job in known if self._answers.is_described(job)]
        return {"jobs": [job_detail(job) for job in seen]}

    def _known(self, job_id: str) -> Job | None:
        job = self._engine.jobs.get(job_id)
        return job if job is not None and self._answers.is_known(job) else None

    def cancel_job(self, request: Json) -> Json:
        """End a job that has not started."""
        return self._end(request, self._engine.cancel)

    def terminate_job(self, request: Json) -> Json:
        """End a job wherever it stands."""
        return self._end(request, self._engine.terminate)

    def cancel_jobs(self, request: Json) -> Json:
        """End many jobs that have not started."""
        return self._end_many(request, self._engine.cancel)

    def terminate_jobs(self, request: Json) -> Json:
        """End many jobs wherever they stand."""
        return self._end_many(request, self._engine.terminate)

    def _end(self, request: Json, end: Callable[[Job, str], None]) -> Json:
        rules.check_reason(request["reason"])
        job = self._known(request["jobId"])
        if job is not None:  # AWS answers an unknown id with 200
            end(job, request["reason"])
        return {}

    def _end_many(self, request: Json, end: Callable[[Job, str], None]) -> Json:
        rules.check_reason(request["reason"])
        if len(request["jobs"]) > MAX_BULK_JOBS:
            raise refused(f"Maximum number of jobs supported is  {MAX_BULK_JOBS} .")  # own wording
        for job_id in request["jobs"]:
            if (job := self._known(job_id)) is not None:
                end(job, request["reason"])
        return {"successful": list(request["jobs"]), "errors": []}
