from __future__ import annotations

from covalent_awsbatch_plugin.contract import EXIT_USER_EXCEPTION, EXIT_VALUE, OutcomeStatus


def test_value(jobs):
    job = jobs.call(lambda a, b=0: a + b, 1, b=2)
    assert job.exit_code == EXIT_VALUE, job.stderr
    assert job.only.status is OutcomeStatus.VALUE
    assert job.only.value == 3


def test_exception(jobs):
    def fail():
        raise ValueError("no such thing")

    job = jobs.call(fail)
    print(job)
    assert job.exit_code == EXIT_USER_EXCEPTION
    assert job.only.failure.type == "ValueError"
