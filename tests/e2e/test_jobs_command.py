"""`covalent-awsbatch jobs | job | logs | cancel`, for jobs of the client's and of Covalent's executor."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from covalent_awsbatch_plugin.cli import main
from covalent_awsbatch_plugin.cli.text import span
from covalent_awsbatch_plugin.client import AWSBatch, Job, JobArray
from covalent_awsbatch_plugin.job import console_url
from covalent_awsbatch_plugin.plain_text import escaped
from tests.client.surroundings import Gate
from tests.e2e.command_line import Program
from tests.e2e.surroundings import AWS, Counted, eventually
from tests.e2e.test_run import call, executor_for

ENDED_TEXT = "Essential container in task exited"
"""What AWS says of every job whose program has ended by itself."""

IN_SHORT = {
    *("id", "batch_id", "name", "state", "array_size", "children", "status_reason", "container_reason"),
    *("exit_code", "created_at", "started_at", "stopped_at", "duration_s"),
}
"""What the JSON of every listing has."""


class JobsCommand(Program):
    """The command with a local AWS in its configuration, in this process or in one of its own."""

    def __init__(self, settings: dict[str, Any], directory: Path) -> None:
        super().__init__((), settings, directory)
        self._environment = {"COVALENT_CONFIG_DIR": str(directory)}
        self.configure()

    def __call__(self, name: str, *options: str, says: str | None = None) -> Result:
        return CliRunner().invoke(main, [name, *options], input=says, env=self._environment)

    def json(self, name: str, *options: str) -> Any:
        result = self(name, *options, "--json")
        assert (result.exit_code, result.stderr) == (0, "")
        return json.loads(result.stdout)

    def lines(self, name: str, *options: str) -> list[str]:
        result = self(name, *options)
        assert (result.exit_code, result.stderr) == (0, "")
        return result.stdout.splitlines()


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("jobs-command")


@pytest.fixture(scope="module")
def command(aws: AWS, directory: Path) -> JobsCommand:
    return JobsCommand(aws.settings, directory)


@pytest.fixture(scope="module")
def batch(aws: AWS) -> AWSBatch:
    return AWSBatch(progress=False, **aws.settings)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open()


@pytest.fixture(scope="module")
def lone(aws: AWS, batch: AWSBatch) -> Job[int]:
    """A job that has printed what would turn a terminal red."""

    def speak() -> int:
        import sys

        print("plain")  # each line by itself: those of two streams meet in one log
        print("\x1b[31mred\x07")
        print("to stderr", file=sys.stderr)
        return 42

    job = batch.submit(speak)
    wait_for_aws(aws, job)
    return job


def wait_for_aws(aws: AWS, job: Job[Any]) -> None:
    """Wait until a job has succeeded for AWS Batch too; its value is there sooner."""
    job.wait()
    eventually(lambda: aws.batch.describe_jobs(jobs=[job.batch_id])["jobs"][0]["status"] == "SUCCEEDED")


@pytest.fixture(scope="module")
def array(aws: AWS, batch: AWSBatch) -> JobArray[int]:
    """An array of four of whose children two have failed."""

    def halve(number: int) -> int:
        if number % 2:
            raise ValueError(f"{number} is odd\nand that is all")
        return number // 2

    jobs = batch.map(halve, range(4))
    jobs.wait()
    eventually(lambda: aws.batch.describe_jobs(jobs=[array_id(jobs)])["jobs"][0]["status"] == "FAILED")
    return jobs


def array_id(jobs: JobArray[Any]) -> str:
    return jobs[0].batch_id.partition(":")[0]


@pytest.fixture(scope="module")
def other_queue(aws: AWS) -> str:
    """A queue that knows none of the jobs, as AWS Batch does some days after their end."""
    return new_queue(aws)


def new_queue(aws: AWS) -> str:
    name = f"queue-{uuid.uuid4().hex}"
    environments = [{"order": 1, "computeEnvironment": "covalent-awsbatch-local"}]
    aws.batch.create_job_queue(jobQueueName=name, priority=1, computeEnvironmentOrder=environments)
    eventually(lambda: aws.batch.describe_job_queues(jobQueues=[name])["jobQueues"][0]["status"] == "VALID")
    return name


def fields_of(lines: list[str]) -> dict[str, str]:
    """Return what stands behind the labels of `job`, texts of several lines whole."""
    width = max(re.match(r"\S.*?  +", line).end() for line in lines if not line.startswith(" "))
    fields: dict[str, str] = {}
    label = ""
    for line in lines:
        label = line[:width].strip() or label
        fields[label] = f"{fields[label]}\n{line[width:]}" if label in fields else line[width:]
    return fields


# --- all of them ----------------------------------------------------------------------------------------


def test_help_is_quick():
    """It imports nothing that takes long."""
    slow = {"botocore", "cloudpickle", "covalent", "obstore", "pydantic", "rich"}
    program = (
        "import sys; from covalent_awsbatch_plugin.cli import main; main(['--help'], standalone_mode=False); "
        f"print(sorted({slow} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    *_, imported = done.stdout.splitlines()
    assert imported == "[]"
    for name in ("jobs", "job", "logs", "cancel"):
        assert re.search(rf"^  {name} ", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("name", ["job", "logs", "cancel"])
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("nobody-0a1b2c", r"Neither the queue '\S+' nor the bucket '\S+' knows 'nobody-0a1b2c'\."),
        ("nobody-0a1b2c/7", r"Neither the queue '\S+' nor the bucket '\S+' knows 'nobody-0a1b2c/7'\."),
        ("nobody/x", r"'nobody/x' is no job's id, such as 'f-0a1b2c3d4e5f/0'\."),
        ("no body", r"'no body' is the id of no job and no run, such as 'f-0a1b2c3d4e5f'\."),
        (str(uuid.UUID(int=0)), r"Neither the queue .* knows '00000000-\S+'\."),
        (f"{uuid.UUID(int=0)}:1", r"AWS Batch does not know the job '00000000-\S+:1', or not any more\."),
    ],
)
def test_what_nobody_knows_is_said_in_one_sentence(command, name, given, says):
    result = command(name, given)
    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch(rf"Error: {says}\n", result.stderr)


def test_a_job_that_is_none_of_ours_is_left_alone(command, aws):
    definition = f"somebody-elses-{uuid.uuid4().hex}"
    needs = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]
    container = {"image": "local/python:3.11", "command": ["true"], "resourceRequirements": needs}
    aws.batch.register_job_definition(
        jobDefinitionName=definition, type="container", containerProperties=container
    )
    wanted = {"jobQueue": aws.queue, "jobDefinition": definition}
    job_id = aws.batch.submit_job(jobName="covalent-theirs", **wanted)["jobId"]
    for name in ("job", "logs", "cancel"):
        result = command(name, job_id)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "(covalent-theirs) is none of covalent-awsbatch." in result.stderr
    assert "covalent-theirs" not in [each["name"] for each in command.json("jobs")]


def test_a_bucket_that_is_missing_is_one_sentence(command, array):
    result = command("job", f"{array.id}/0", "--bucket", "no-such-bucket-anywhere")
    assert (result.exit_code, result.stdout) == (1, "")
    (sentence,) = result.stderr.splitlines()
    assert "cannot be read from 'no-such-bucket-anywhere': NoSuchBucket: The specified bucket" in sentence


def test_options_take_the_place_of_a_configuration(aws, lone, tmp_path):
    nothing_configured = JobsCommand({}, tmp_path)
    given = {
        "--endpoint-url": aws.endpoint_url,
        "--region": aws.settings["region"],
        "--credentials": aws.settings["credentials"],
        "--profile": aws.settings["profile"],
        "--queue": aws.queue,
        "--bucket": aws.settings["s3_bucket_name"],
    }
    arguments = [part for pair in given.items() for part in pair]
    assert nothing_configured.json("job", lone.id, *arguments)["state"] == "SUCCEEDED"
    assert lone.id in [each["id"] for each in nothing_configured.json("jobs", *arguments)]
    group = ("--log-group", aws.settings["batch_job_log_group_name"])
    assert "plain" in nothing_configured.lines("logs", lone.id, *arguments, *group)


# --- jobs -----------------------------------------------------------------------------------------------


def test_jobs_lists_the_newest_first_with_ids_that_the_others_take(aws, command, batch, array):
    last = batch.submit(len, "four")
    wait_for_aws(aws, last)
    listed = command.json("jobs")
    assert all(set(each) == IN_SHORT for each in listed)
    assert [each["created_at"] for each in listed] == sorted(
        (each["created_at"] for each in listed), reverse=True
    )
    newest = listed[0]
    assert (newest["id"], newest["batch_id"], newest["state"]) == (last.id, last.batch_id, "SUCCEEDED")
    assert (newest["exit_code"], newest["children"], newest["status_reason"]) == (0, None, ENDED_TEXT)
    assert newest["duration_s"] >= 0

    (of_array,) = (each for each in listed if each["id"] == array.id)
    assert of_array["children"] == {"SUCCEEDED": 2, "FAILED": 2}
    assert (of_array["array_size"], of_array["state"]) == (4, "FAILED")
    assert of_array["batch_id"] == array_id(array)
    for each in (newest, of_array):
        assert command.json("job", each["id"])["id"] == each["id"]


def test_jobs_in_a_pipe_are_plain_lines(command, lone, array):
    done = command.run("jobs")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    heading, *rows = done.stdout.splitlines()
    assert re.split(r" {2,}", heading.strip()) == [
        *("id", "state", "age", "duration", "reason", "AWS Batch's id")
    ]
    cells = {row.split()[0]: re.split(r" {2,}", row.strip()) for row in rows}
    assert cells[lone.id][1] == "SUCCEEDED"
    assert cells[lone.id][-2:] == [ENDED_TEXT, lone.batch_id]
    assert cells[array.id][1] == "2 SUCCEEDED, 2 FAILED"
    assert cells[array.id][-1] == array_id(array)


@pytest.mark.parametrize(("columns", "shows_all"), [(80, False), (200, True)])
def test_jobs_on_a_terminal_are_a_coloured_table_in_which_no_id_is_cut(command, lone, columns, shows_all):
    shown, stderr = command.show_on_terminal("jobs", stream="stdout", columns=columns)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert stderr == ""
    assert "\x1b[32mSUCCEEDED" in shown
    assert f"{lone.id} " in plain
    assert (lone.batch_id in plain) is shows_all
    assert all(len(line) <= columns for line in plain.splitlines())


def test_jobs_can_be_chosen_by_their_state(command, lone, array):
    failed = {each["id"] for each in command.json("jobs", "--status", "failed", "--limit", "1000")}
    assert array.id in failed
    assert lone.id not in failed
    succeeded = {each["id"] for each in command.json("jobs", "--status", "SUCCEEDED", "--limit", "1000")}
    assert {array.id, lone.id} <= succeeded  # an array with children in this state is among them


def test_jobs_are_paged_as_far_as_they_are_wanted(command, aws, lone):
    """AWS Batch gives a hundred at a time."""
    queue = new_queue(aws)
    definition = aws.batch.describe_jobs(jobs=[lone.batch_id])["jobs"][0]["jobDefinition"]
    run_id = f"many-{uuid.uuid4().hex}"
    job_ids = [
        aws.batch.submit_job(jobName=f"covalent-{run_id}-{number}", jobQueue=queue, jobDefinition=definition)[
            "jobId"
        ]
        for number in range(103)
    ]
    counted = Counted(aws)
    listed = command.json("jobs", "--queue", queue, "--limit", "102")
    assert [each["batch_id"] for each in listed] == list(reversed(job_ids))[:102]
    assert counted("batch", "ListJobs") == 2
    assert len(command.json("jobs", "--queue", queue)) == 25
    assert counted("batch", "ListJobs") == 3


def test_a_queue_without_jobs_and_one_that_is_missing_are_said(command, aws):
    name = new_queue(aws)
    empty = command("jobs", "--queue", name)
    assert (empty.exit_code, empty.stdout) == (0, "")
    assert empty.stderr == f"The queue {name} has no jobs of covalent-awsbatch.\n"
    assert command.json("jobs", "--queue", name) == []

    missing = command("jobs", "--queue", "no-such-queue")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert missing.stderr.startswith("Error: AWS Batch does not list the jobs of the queue 'no-such-queue': ")


# --- job: one -------------------------------------------------------------------------------------------


def test_a_job_is_told_of_by_ours_and_by_aws_id(command, aws, lone):
    told = command.json("job", lone.id)
    assert command.json("job", lone.batch_id) == told
    assert {*IN_SHORT, "attempts", "console", "log_stream", "outcome"} <= set(told)
    assert (told["id"], told["batch_id"], told["name"]) == (lone.id, lone.batch_id, lone_name(lone))
    assert (told["state"], told["exit_code"], told["status_reason"]) == ("SUCCEEDED", 0, ENDED_TEXT)
    assert told["console"] == console_url("us-east-1", lone.batch_id)
    assert (told["log_group"], told["allowed_attempts"]) == ("/aws/batch/job", 3)
    (attempt,) = told["attempts"]
    assert (attempt["exit_code"], attempt["log_stream"]) == (0, told["log_stream"])
    assert told["queue"].endswith(f":job-queue/{aws.queue}")
    outcome = told["outcome"]
    assert (outcome["status"], outcome["has_value"], outcome["exception"]) == ("value", True, None)
    assert outcome["stdout"] == ["plain", "\x1b[31mred\x07"]
    assert outcome["stderr"] == ["to stderr"]

    fields = fields_of(command.lines("job", lone.id))
    assert (fields["id"], fields["state"], fields["exit code"]) == (lone.id, "SUCCEEDED", "0")
    assert fields["AWS Batch's id"] == lone.batch_id
    assert re.fullmatch(r"a value, pickled in \d+ bytes", fields["outcome"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", fields["created"])
    assert re.fullmatch(rf"1: .* UTC, \S+ s, exit code 0: {ENDED_TEXT}", fields["attempts (of 3)"])
    assert (fields["stdout"], fields["stderr"]) == ("plain\n\\x1b[31mred\\x07", "to stderr")
    assert "container reason" not in fields


def lone_name(job: Job[Any]) -> str:
    return f"covalent-{job.id.replace('/', '-')}"


def test_a_child_is_told_of_by_ours_and_by_aws_id(command, array):
    child = array[3]
    told = command.json("job", child.id)
    assert command.json("job", child.batch_id) == told
    assert (told["id"], told["batch_id"]) == (f"{array.id}/3", f"{array_id(array)}:3")
    assert (told["state"], told["exit_code"]) == ("FAILED", 101)
    assert told["outcome"]["has_value"] is False
    assert told["outcome"]["exception"] == {
        "type": "ValueError",
        "message": "3 is odd\nand that is all",
    }
    fields = fields_of(command.lines("job", child.id))
    assert fields["outcome"] == "no value: ValueError: 3 is odd\nand that is all"
    assert fields["error"] == "FunctionRaisedError: the job ended with an exception of the function"
    assert fields["stderr"].endswith("ValueError: 3 is odd\nand that is all")


def test_a_job_that_runs_is_told_of_without_waiting_for_it(command, batch, gate):
    job = batch.submit(gate.hold)
    gate.wait_for(1)
    told = command.json("job", job.id)
    assert (told["state"], told["exit_code"], told["outcome"]) == ("RUNNING", None, None)
    assert told["failure"] is None
    fields = fields_of(command.lines("job", job.id))
    assert (fields["state"], fields["outcome"]) == ("RUNNING", "none yet")
    assert "stopped" not in fields


def test_a_job_tells_of_each_of_its_attempts(command, aws, batch, gate):
    job = batch.submit(gate.hold)
    gate.wait_for(1)
    aws.control("POST", f"jobs/{job.batch_id}/lose-host")
    gate.wait_for(2)
    gate.open()
    job.wait()
    eventually(lambda: command.json("job", job.id)["state"] == "SUCCEEDED")
    lost, good = command.json("job", job.id)["attempts"]
    assert lost["status_reason"].startswith("Host EC2")
    assert (lost["exit_code"], good["exit_code"]) == (None, 0)
    first, second = fields_of(command.lines("job", job.id))["attempts (of 3)"].splitlines()
    assert re.match(r"1: .*, no exit code: Host EC2", first)
    assert re.match(r"2: .*, exit code 0: ", second)


def test_a_job_that_failed_has_the_error_and_the_next_step(command, aws, batch, gate):
    job = batch.submit(gate.hold)
    gate.wait_for(1)
    aws.control("POST", f"jobs/{job.batch_id}/kill", {"reason": "OutOfMemoryError: Container killed"})
    job.wait()
    error = job.exception()
    told = command.json("job", job.id)["failure"]
    assert told["error"] == type(error).__name__ == "OutOfMemoryError"
    assert (told["cause"], told["next_step"]) == ("ran out of memory", error.advice)
    fields = fields_of(command.lines("job", job.id))
    assert fields["error"] == "OutOfMemoryError: the job ran out of memory"
    assert fields["next step"] == error.advice


def test_the_environment_of_a_job_is_not_shown(command, aws, lone):
    (detail,) = aws.batch.describe_jobs(jobs=[lone.batch_id])["jobs"]
    secret = [{"name": "PASSWORD", "value": "hunter2"}]
    wanted = {"jobQueue": aws.queue, "jobDefinition": detail["jobDefinition"]}
    name = f"covalent-with-a-secret-{uuid.uuid4().hex[:8]}-0"
    answer = aws.batch.submit_job(jobName=name, containerOverrides={"environment": secret}, **wanted)
    shown = "".join(
        each
        for options in (("job", answer["jobId"]), ("job", answer["jobId"], "--json"), ("jobs", "--json"))
        for each in command(*options).output
    )
    assert name in shown
    assert "hunter2" not in shown


def test_a_job_that_aws_batch_has_forgotten_is_told_of_from_its_outcome(command, array, other_queue):
    told = command.json("job", f"{array.id}/1", "--queue", other_queue)
    assert set(told) == {"id", "state", "failure", "outcome"}
    assert (told["id"], told["state"]) == (f"{array.id}/1", None)
    assert told["outcome"]["exception"]["type"] == "ValueError"
    fields = fields_of(command.lines("job", f"{array.id}/1", "--queue", other_queue))
    assert fields["state"] == "AWS Batch does not know it, or not any more"
    assert fields["AWS Batch's id"] == array[1].batch_id
    assert fields["outcome"].startswith("no value: ValueError: 1 is odd")


def test_an_outcome_that_cannot_be_read_hides_nothing(command, lone):
    told = command.json("job", lone.batch_id, "--bucket", "no-such-bucket-anywhere")
    assert told["state"] == "SUCCEEDED"
    assert "NoSuchBucket" in told["outcome"]["error"]


# --- job: a run -----------------------------------------------------------------------------------------


def test_an_array_is_told_of_with_the_children_that_failed(command, array):
    told = command.json("job", array.id)
    assert set(told) == {"id", "states", "queue", "jobs", "failed", "failed_count"}
    assert (told["id"], told["states"]) == (array.id, {"SUCCEEDED": 2, "FAILED": 2})
    (part,) = told["jobs"]
    assert (part["batch_id"], part["array_size"]) == (array_id(array), 4)
    assert part["console"] == console_url("us-east-1", array_id(array))
    assert told["failed_count"] == 2
    assert [each["id"] for each in told["failed"]] == [f"{array.id}/1", f"{array.id}/3"]
    for each in told["failed"]:
        assert set(each) == {*IN_SHORT, "console", "failure", "outcome"}
        assert each["failure"]["error"] == "FunctionRaisedError"
        assert each["outcome"]["exception"]["type"] == "ValueError"

    by_aws = command.json("job", array_id(array))
    assert (by_aws["id"], by_aws["states"], by_aws["failed"]) == (array.id, told["states"], told["failed"])

    fields = fields_of(command.lines("job", array.id))
    assert fields["state"] == "2 SUCCEEDED, 2 FAILED"
    assert fields["failed (2)"].splitlines() == [
        f"{array.id}/{number}   no value: ValueError: {number} is odd and that is all (exit code 101)"
        for number in (1, 3)
    ]


def test_of_many_failures_only_some_are_shown(command, array):
    told = command.json("job", array.id, "--limit", "1")
    assert ([each["id"] for each in told["failed"]], told["failed_count"]) == ([f"{array.id}/1"], 2)
    shown = fields_of(command.lines("job", array.id, "--limit", "1"))["failed (2)"]
    assert shown.splitlines()[1:] == ["and 1 more: see --limit"]


def test_a_run_of_several_jobs_and_arrays_is_told_of_together(command, aws):
    """What one client submits is a run."""

    def fail(number: int) -> None:
        raise RuntimeError(number)

    batch = AWSBatch(progress=False, **{**aws.settings, "max_array_size": 2})
    jobs = [batch.submit(fail, number) for number in range(5)]
    for job in jobs:
        job.wait()
    run_id = jobs[0].id.partition("/")[0]
    told = eventually(lambda: has_ended(command.json("job", run_id)))
    assert told["states"] == {"FAILED": 5}
    assert len(told["jobs"]) >= 3
    assert [each["id"] for each in told["failed"]] == [f"{run_id}/{number}" for number in range(5)]
    messages = [each["outcome"]["exception"]["message"] for each in told["failed"]]
    assert messages == ["0", "1", "2", "3", "4"]


def has_ended(told: dict[str, Any]) -> dict[str, Any] | None:
    return told if set(told["states"]) <= {"SUCCEEDED", "FAILED"} else None


def test_a_run_that_aws_batch_has_forgotten_is_told_of_from_its_outcomes(command, array, other_queue):
    told = command.json("job", array.id, "--queue", other_queue)
    assert (told["states"], told["jobs"], told["forgotten_count"]) == ({}, [], 4)
    assert [each["outcome"]["status"] for each in told["forgotten"]] == ["value", "exception"] * 2
    fields = fields_of(command.lines("job", array.id, "--queue", other_queue))
    assert fields["state"] == "AWS Batch does not know it, or not any more; S3 has 4 jobs"
    lines = fields["outcomes"].splitlines()
    assert re.fullmatch(rf"{array.id}/0   a value, pickled in \d+ bytes", lines[0])
    assert lines[1] == f"{array.id}/1   no value: ValueError: 1 is odd and that is all"


async def test_a_dispatch_of_covalents_is_a_run(command, aws):
    """Its id looks like one of AWS Batch's."""
    dispatch_id = str(uuid.uuid4())
    await call(executor_for(aws), lambda: print("from Covalent"), dispatch_id=dispatch_id, node_id=3)
    (job,) = aws.jobs_of(dispatch_id)

    def look() -> tuple[Any, ...]:
        told = eventually(lambda: has_ended(command.json("job", dispatch_id)))
        one = command.json("job", f"{dispatch_id}/3")
        return told, one, command.lines("logs", dispatch_id)

    told, one, lines = await asyncio.to_thread(look)
    assert (told["id"], [each["id"] for each in told["jobs"]]) == (dispatch_id, [f"{dispatch_id}/3"])
    assert (one["batch_id"], one["outcome"]["status"]) == (job["jobId"], "value")
    assert lines == ["from Covalent"]


# --- logs -----------------------------------------------------------------------------------------------


def test_logs_are_the_lines_as_they_were_written_for_a_pipe(command, lone):
    expected = ["plain", "\x1b[31mred\x07", "to stderr"]
    assert sorted(command.lines("logs", lone.id)) == sorted(expected)
    assert sorted(command.lines("logs", lone.batch_id)) == sorted(expected)


def test_logs_do_nothing_to_a_terminal(command, lone):
    shown, stderr = command.show_on_terminal("logs", lone.id, stream="stdout")
    assert ("\\x1b[31mred\\x07\r\n" in shown, "\x1b" in shown, "\x07" in shown) == (True, False, False)
    assert stderr == ""


def test_logs_of_a_child(command, array):
    lines = command.lines("logs", f"{array.id}/1")
    assert lines[-2:] == ["ValueError: 1 is odd", "and that is all"]


def test_logs_of_several_jobs_must_be_asked_for_one_by_one(command, array):
    result = command("logs", array.id)
    assert (result.exit_code, result.stdout) == (1, "")
    example = f"name one of them, such as {array.id}/0."
    assert result.stderr == f"Error: '{array.id}' is not one job but 4: {example}\n"


def test_logs_of_a_job_that_wrote_nothing_are_said_to_be_none(command, array):
    result = command("logs", f"{array.id}/0")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"There are no lines of the job {array.id}/0 (SUCCEEDED).\n"


def test_logs_of_a_forgotten_job_are_those_of_its_outcome(command, lone, other_queue):
    lines = command.lines("logs", lone.id, "--queue", other_queue)
    assert lines == ["plain", "\x1b[31mred\x07", "to stderr"]


@pytest.fixture
def talker(batch: AWSBatch, gate: Gate) -> Job[None]:
    """A job that says one thing, waits at the gate, and says another."""
    hold = gate.hold

    def talk() -> None:
        print("before", flush=True)
        hold()
        print("after", flush=True)

    return batch.submit(talk)


def test_logs_are_followed_until_the_job_has_ended(command, talker, gate):
    program = command.start("logs", talker.id, "--follow")
    try:
        assert program.stdout.readline() == "before\n"
        gate.open()
        stdout, stderr = program.communicate(timeout=60)
    finally:
        program.kill()
    assert (program.returncode, stdout, stderr) == (0, "after\n", "")


def test_ctrl_c_ends_the_following_quietly(command, talker):
    program = command.start("logs", talker.id, "--follow")
    try:
        assert program.stdout.readline() == "before\n"
        program.send_signal(signal.SIGINT)
        stdout, stderr = program.communicate(timeout=60)
    finally:
        program.kill()
    assert (program.returncode, stdout, stderr) == (130, "", "")
    assert not talker.done()


def test_the_next_attempt_is_followed_too(command, aws, talker, gate):
    program = command.start("logs", talker.id, "--follow")
    try:
        assert program.stdout.readline() == "before\n"
        aws.control("POST", f"jobs/{talker.batch_id}/lose-host")
        assert program.stdout.readline() == "before\n"
        gate.open()
        stdout, stderr = program.communicate(timeout=60)
    finally:
        program.kill()
    assert (program.returncode, stdout, stderr) == (0, "after\n", "")


# --- cancel ---------------------------------------------------------------------------------------------


def test_a_job_is_ended_without_asking(command, batch, gate):
    job = batch.submit(gate.hold)
    gate.wait_for(1)
    assert command.lines("cancel", job.id) == [f"AWS Batch ends the job {job.id} (RUNNING)."]
    job.wait()
    assert job.cancelled()


@pytest.mark.parametrize("by_aws", [False, True])
def test_a_child_is_ended_and_the_others_go_on(command, batch, gate, by_aws):
    jobs = batch.map(gate.hold, range(3))
    gate.wait_for(3)
    given = jobs[1].batch_id if by_aws else jobs[1].id
    assert command.lines("cancel", given) == [f"AWS Batch ends the job {jobs.id}/1 (RUNNING)."]
    jobs[1].wait()
    gate.open()
    assert (jobs[0].result(), jobs[1].cancelled(), jobs[2].result()) == (0, True, 2)


def test_an_array_is_ended_with_one_call_after_a_question(command, aws, batch, gate):
    jobs = batch.map(gate.hold, range(3))
    gate.wait_for(3)
    counted = Counted(aws)
    for says in ("", "n\n"):
        refused = command("cancel", jobs.id, f"{jobs.id}/1", says=says)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert refused.stderr.startswith("End 3 jobs? [y/N]: ")
    assert counted("batch", "TerminateJob") == 0

    done = command("cancel", jobs.id, f"{jobs.id}/1", says="y\n")
    assert (done.exit_code, counted("batch", "TerminateJob")) == (0, 1)
    assert done.stdout == f"AWS Batch ends the array {jobs.id} (3 RUNNING).\n"
    jobs.wait()
    assert all(job.cancelled() for job in jobs)


def test_with_yes_nothing_is_asked(command, batch, gate):
    first, second = batch.map(gate.hold, range(2)), batch.submit(gate.hold)
    gate.wait_for(3)
    said = command.lines("cancel", array_id(first), second.id, "--yes")
    assert said == [
        f"AWS Batch ends the array {first.id} (2 RUNNING).",
        f"AWS Batch ends the job {second.id} (RUNNING).",
    ]
    second.wait()
    first.wait()
    assert [job.cancelled() for job in (*first, second)] == [True] * 3


def test_what_has_ended_or_is_unknown_is_said_and_the_rest_is_ended(command, batch, gate, lone, array):
    job = batch.submit(gate.hold)
    gate.wait_for(1)
    result = command("cancel", lone.id, array.id, f"{array.id}/0", "nobody/0", job.id)
    assert result.exit_code == 1
    assert result.stdout == f"AWS Batch ends the job {job.id} (RUNNING).\n"
    ended, ended_array, ended_child, unknown = result.stderr.splitlines()
    assert ended == f"Error: The job {lone.id} has ended: SUCCEEDED."
    assert ended_array == f"Error: The run {array.id} has ended: 2 SUCCEEDED, 2 FAILED."
    assert ended_child == f"Error: The job {array.id}/0 has ended: SUCCEEDED."
    assert "nor the bucket" in unknown
    job.wait()
    assert job.cancelled()


def test_a_forgotten_job_cannot_be_ended(command, lone, array, other_queue):
    result = command("cancel", lone.id, array.id, "--queue", other_queue)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        f"Error: AWS Batch does not know the job {lone.id}, or not any more.",
        f"Error: AWS Batch does not know the run {array.id}, or not any more.",
    ]


# --- texts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-0.5, "0.0 s"),
        (0.149, "0.1 s"),
        (9.6, "10 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3 * 3600 + 61, "3 h 1 min"),
        (49 * 3600, "2 d 1 h"),
    ],
)
def test_times_have_two_units_at_most(seconds, text):
    assert span(seconds) == text


def test_what_a_terminal_would_obey_is_shown_instead():
    assert escaped("a\x1b]0;title\x07\tb\r\x9b2J\u202e\ud800é日") == (
        r"a\x1b]0;title\x07" + "\tb" + r"\r\x9b2J\u202e\ud800" + "é日"
    )


@pytest.mark.parametrize(
    ("region", "start"),
    [
        ("eu-central-1", "https://eu-central-1.console.aws.amazon.com/batch/home?region=eu-central-1#jobs"),
        ("cn-north-1", "https://cn-north-1.console.amazonaws.cn/batch/home?region=cn-north-1#jobs"),
        (
            "us-gov-west-1",
            "https://us-gov-west-1.console.amazonaws-us-gov.com/batch/home?region=us-gov-west-1#",
        ),
    ],
)
def test_each_partition_has_a_console_of_its_own(region, start):
    assert console_url(region, "an-id:3").startswith(start)
    assert console_url(region, "an-id:3").endswith("#jobs/detail/an-id:3")
