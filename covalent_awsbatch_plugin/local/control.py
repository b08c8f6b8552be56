"""The switches under `/_local/`; `server` documents them."""

from __future__ import annotations

import json

from starlette.requests import Request
from starlette.responses import JSONResponse

from covalent_awsbatch_plugin.job import JobStatus

from .calls import CallCounts
from .engine import Engine
from .faults.force import InForce
from .faults.plan import Plan, PlanError, read_plan
from .jobs import Json
from .registry import switches
from .registry.ecr import Registry


class Control:
    """Answers what AWS does not have: faults on request, and a look behind the scenes."""

    def __init__(
        self, engine: Engine, counts: CallCounts, faults: InForce, registry: Registry | None = None
    ) -> None:
        self.counts = counts
        self._engine = engine
        self._faults = faults
        self._registry = registry

    async def answer(self, request: Request) -> JSONResponse:
        """Perform one request under `/_local/`."""
        parts = request.url.path.removeprefix("/_local/").split("/")
        if parts[0] == "jobs" and len(parts) == 3 and request.method == "POST":
            return self._strike(parts[1], parts[2], await request.body())
        if parts == ["faults"] and request.method == "PUT":
            return self._replace_faults(await request.body())
        if self._registry is not None and request.method == "POST" and len(parts) == 2:
            answer = switches.answer(self._registry, parts[0], parts[1], await request.body())
            if answer is not None:
                return answer
        result = self._switch(request.method, "/".join(parts))
        return JSONResponse({"message": "no such switch"}, 404) if result is None else JSONResponse(result)

    def _switch(self, method: str, name: str) -> Json | None:
        if (method, name) == ("GET", "health"):
            return {"status": "ok"}
        if (method, name) == ("GET", "calls"):
            return dict(self.counts.to_json())
        if (method, name) == ("DELETE", "calls"):
            self.counts.counts.clear()
            return {}
        if (method, name) == ("GET", "faults"):
            return self._faults.to_json()
        if (method, name) == ("DELETE", "faults"):
            self._faults.replace(Plan())
            return {}
        if method == "POST" and name in ("pause", "resume"):
            self._engine.placement.pause(name == "pause")
            return {}
        return None

    def _replace_faults(self, body: bytes) -> JSONResponse:
        try:
            self._faults.replace(read_plan(body))
        except PlanError as error:
            return JSONResponse({"message": str(error)}, 400)
        return JSONResponse(self._faults.to_json())

    def _strike(self, job_id: str, fault: str, body: bytes) -> JSONResponse:
        job = self._engine.jobs.get(job_id)
        if job is None or fault not in ("lose-host", "kill"):
            return JSONResponse({"message": f"no job {job_id} or no fault {fault}"}, 404)
        try:
            reason = json.loads(body)["reason"] if body else None
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"message": 'the body must be {"reason": "…"} or nothing'}, 400)
        if job.status is not JobStatus.RUNNING:
            return JSONResponse({"message": f"job {job_id} is {job.status.value}, not RUNNING"}, 409)
        if fault == "lose-host":
            self._engine.lose_host(job)
        else:
            self._engine.kill(job, reason)
        return JSONResponse({})
