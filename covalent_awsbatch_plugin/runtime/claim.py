"""One job does a submission's tasks, though AWS Batch may have made two of it."""

from __future__ import annotations

from collections.abc import Mapping

from covalent_awsbatch_plugin.contract import Payload, attempt_of, claim_key, outcome_key, rung_of
from covalent_awsbatch_plugin.runtime.fault import Conflict, Duplicate
from covalent_awsbatch_plugin.runtime.store import Store


def claim(store: Store, payload: Payload, environment: Mapping[str, str]) -> None:
    """Make a payload's tasks this job's, before any of them runs; all its attempts share the claim.

    SubmitJob knows no token that would tell a repeated request from a new one, so a submission whose answer
    was lost may have become two jobs. Raises Duplicate where the tasks are another job's, Conflict where this
    very attempt has left its outcome, RuntimeFault where S3 does not take the claim.
    """
    job_id = environment.get("AWS_BATCH_JOB_ID", "")
    for first in payload.tasks[:1]:
        key = claim_key(payload.dispatch_id, first.node_id, rung_of(environment))
        found = store.create(key, job_id.encode())
        if found is None:
            continue
        if found != job_id.encode():
            raise Duplicate(
                f"This job, {job_id}, runs nothing: the job {found.decode(errors='replace')!r}, made of the "
                f"same submission, does its tasks, as {store.uri(key)} says."
            )
        # An earlier attempt of this job made the claim, or this very one, under another process.
        outcome = outcome_key(payload.dispatch_id, first.node_id, attempt_of(environment))
        if store.exists(outcome):
            raise Conflict(f"This attempt has left its outcome already, at {store.uri(outcome)}: it stays.")
