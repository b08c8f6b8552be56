"""The plan that is in force, and what has become of it."""

from __future__ import annotations

from ..engine import Engine
from ..jobs import Json
from .answers import Answers
from .jobs import JobFaults
from .plan import JobFault, Plan, RequestFault
from .requests import RequestFaults
from .standing import Standing


class InForce:
    """Hands the faults of a plan to those who let them strike; a new plan starts counting anew."""

    def __init__(self, engine: Engine, requests: RequestFaults, answers: Answers, plan: Plan) -> None:
        """Stand by an engine from now on, and put a plan in force."""
        self._engine = engine
        self._requests = requests
        self._answers = answers
        self._jobs = JobFaults(engine)
        engine.listeners += [self._jobs.moved, answers.moved]
        engine.placement.held = self._jobs.held
        self.replace(plan)

    def replace(self, plan: Plan) -> None:
        """Put another plan in force; an empty one ends all faults."""
        before = self._engine.submissions
        on_requests: list[Standing[RequestFault]] = []
        on_jobs: list[Standing[JobFault]] = []
        for name, fault in plan.named():
            if isinstance(fault, RequestFault):
                on_requests.append(Standing(name, fault, before))
            else:
                on_jobs.append(Standing(name, fault, before))
        self._requests.begin(on_requests)
        self._jobs.begin(on_jobs)
        self._answers.begin(on_jobs)
        self._plan = plan
        self._standing: list[Standing[RequestFault] | Standing[JobFault]] = [*on_requests, *on_jobs]

    @property
    def struck(self) -> dict[str, int]:
        """How often each fault has struck, by its name, in the plan's order."""
        counts = {standing.name: standing.struck for standing in self._standing}
        return {name: counts[name] for name, _ in self._plan.named()}

    def to_json(self) -> Json:
        """Return the plan, each fault with how often it has struck."""
        faults = [
            {**fault.model_dump(mode="json", exclude_none=True), "name": name, "struck": self.struck[name]}
            for name, fault in self._plan.named()
        ]
        return {"faults": faults}
