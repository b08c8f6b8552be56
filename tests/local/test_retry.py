"""Retries and `evaluateOnExit`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covalent_awsbatch_plugin.local.jobs import RetryStrategy
from covalent_awsbatch_plugin.local.retry import matches, should_retry

from .driving import Driver, sh

TEXT = st.text("ab.: 1", max_size=6)
PATTERN = st.builds(lambda text, star: text + star, TEXT, st.sampled_from(["", "*"]))
ACTION = st.sampled_from(["RETRY", "EXIT", "retry", "Exit"])
RULE = st.fixed_dictionaries(
    {"action": ACTION},
    optional={
        "onStatusReason": PATTERN,
        "onReason": PATTERN,
        "onExitCode": st.from_regex(r"[0-9]{0,3}\*?", fullmatch=True),
    },
)
OUTCOME = st.fixed_dictionaries(
    {
        "status_reason": st.none() | TEXT,
        "reason": st.none() | TEXT,
        "exit_code": st.none() | st.integers(0, 255),
    }
)


def decide(rules: list[dict[str, Any]], outcome: dict[str, Any], made: int = 1, attempts: int = 10) -> bool:
    return should_retry(RetryStrategy(attempts, tuple(rules)), made, **outcome)


@settings(deadline=None)
@given(st.lists(RULE, max_size=5), OUTCOME, st.integers(1, 10), st.integers(0, 5))
def test_no_rule_gives_more_attempts_than_were_asked_for(
    rules: list[dict[str, Any]], outcome: dict[str, Any], attempts: int, beyond: int
) -> None:
    assert decide(rules, outcome, made=attempts + beyond, attempts=attempts) is False


@settings(deadline=None)
@given(OUTCOME)
def test_without_rules_every_failure_is_retried(outcome: dict[str, Any]) -> None:
    assert decide([], outcome) is True


@settings(deadline=None)
@given(st.lists(RULE, max_size=4), OUTCOME)
def test_rules_that_do_not_match_change_nothing(rules: list[dict[str, Any]], outcome: dict[str, Any]) -> None:
    never = {"onStatusReason": "never seen", "action": "EXIT"}
    assert decide([never, *rules], outcome) == decide(rules, outcome) == decide([*rules, never], outcome)


@settings(deadline=None)
@given(st.lists(RULE, max_size=4), OUTCOME, ACTION)
def test_the_first_rule_that_matches_decides(
    rules: list[dict[str, Any]], outcome: dict[str, Any], action: str
) -> None:
    always = {"onReason": "*", "action": action}
    assert decide([always, *rules], outcome) is (action.upper() == "RETRY")


@settings(deadline=None)
@given(RULE, OUTCOME)
def test_one_more_condition_never_makes_a_rule_match_more(
    rule: dict[str, Any], outcome: dict[str, Any]
) -> None:
    exits = {**rule, "action": "EXIT"}
    for name in ("onStatusReason", "onReason", "onExitCode"):
        fewer = {key: value for key, value in exits.items() if key != name}
        assert decide([exits], outcome) or not decide([fewer], outcome)


@settings(deadline=None)
@given(TEXT, TEXT)
def test_a_pattern_with_a_star_is_a_prefix_and_without_one_the_whole(start: str, rest: str) -> None:
    assert matches(start + "*", start + rest)
    assert matches(start, start)
    assert matches(start, start + rest) is (rest == "")
    assert matches(start + "*", "x" + start) is (start == "")


@pytest.mark.parametrize("reason", [None, "", "OutOfMemoryError: …"])
def test_a_lone_star_matches_an_absent_reason_too(reason: str | None) -> None:
    rules = [{"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}]
    assert decide(rules, {"status_reason": "Other", "reason": reason, "exit_code": 1}) is False
    host = "Host EC2 (instance i-0) terminated."
    assert decide(rules, {"status_reason": host, "reason": reason, "exit_code": None}) is True


def test_a_job_is_tried_as_often_as_asked_and_no_more(local: Driver) -> None:
    job = local.run(sh("exit 1"), retryStrategy={"attempts": 3})
    assert (job["status"], len(job["attempts"])) == ("FAILED", 3)
    assert job["retryStrategy"] == {"attempts": 3, "evaluateOnExit": []}
    assert len({attempt["container"]["taskArn"] for attempt in job["attempts"]}) == 3
    assert job["container"]["taskArn"] == job["attempts"][-1]["container"]["taskArn"]


def test_each_attempt_knows_its_number_and_writes_its_own_stream(local: Driver) -> None:
    job = local.run(sh('echo "try $AWS_BATCH_JOB_ATTEMPT"; [ "$AWS_BATCH_JOB_ATTEMPT" = 3 ]'),
                    retryStrategy={"attempts": 5})  # fmt: skip
    assert job["status"] == "SUCCEEDED"
    lines = [local.output({"container": attempt["container"]}) for attempt in job["attempts"]]
    assert lines == [["try 1"], ["try 2"], ["try 3"]]


def test_between_attempts_a_job_shows_the_ended_ones_and_no_start(local: Driver) -> None:
    job_id = local.submit(sh("sleep 0.3; exit 3"), retryStrategy={"attempts": 2})
    local.wait(job_id, "RUNNING")
    local.local("POST", "pause")
    try:
        waiting = local.wait(job_id, "RUNNABLE")
    finally:
        local.local("POST", "resume")
    assert [attempt["container"]["exitCode"] for attempt in waiting["attempts"]] == [3]
    assert not {"startedAt", "stoppedAt", "statusReason"} & set(waiting)
    assert not {"exitCode", "taskArn", "logStreamName"} & set(waiting["container"])
    assert len(local.wait(job_id)["attempts"]) == 2


def test_a_start_failure_is_retried(local: Driver) -> None:
    job = local.run(["no-such-program"], retryStrategy={"attempts": 2})
    assert [attempt["statusReason"] for attempt in job["attempts"]] == ["Task failed to start"] * 2


def test_exit_codes_decide_through_the_api(local: Driver) -> None:
    strategy = {"attempts": 4, "evaluateOnExit": [{"onExitCode": "7*", "action": "exit"}]}
    assert len(local.run(sh("exit 77"), retryStrategy=strategy)["attempts"]) == 1
    assert len(local.run(sh("exit 8"), retryStrategy=strategy)["attempts"]) == 4


def test_the_definitions_strategy_holds_unless_the_job_brings_one(local: Driver) -> None:
    definition = local.define(["false"], retryStrategy={"attempts": 2})
    assert len(local.wait(local.submit(jobDefinition=definition))["attempts"]) == 2
    own = local.submit(jobDefinition=definition, retryStrategy={"attempts": 1})
    assert len(local.wait(own)["attempts"]) == 1


def test_a_retried_job_goes_to_the_front_of_its_queue(local: Driver) -> None:
    queue = local.new_queue(vcpus=1)
    first = local.submit(
        sh('[ "$AWS_BATCH_JOB_ATTEMPT" = 2 ]'), jobQueue=queue, retryStrategy={"attempts": 2}
    )
    second = local.submit(["true"], jobQueue=queue)
    assert local.wait(first)["stoppedAt"] <= local.wait(second)["startedAt"]
