"""The dispatcher goes away: `covalent-awsbatch recover`, and what `on_shutdown` makes of a stopped server."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import covalent as ct
import pytest
from click.testing import CliRunner, Result

from covalent_awsbatch_plugin import contract
from covalent_awsbatch_plugin.awsbatch import AWSBatchExecutor
from covalent_awsbatch_plugin.cli import main
from demo.private_covalent import PrivateCovalent, free_port
from tests.client.surroundings import Gate
from tests.e2e.command_line import PROGRAM, PROJECT
from tests.e2e.surroundings import AWS, TIME_SCALE, Counted, Workflow, eventually

CROWD = 20

LONG_S = 600
"""So long may a task wait at its gate, on however slow a machine."""

ENDED_WITH_SERVER = "cancelled in Covalent: its server was stopped"


@pytest.fixture(scope="module")
def wide() -> Iterator[AWS]:
    """A local AWS on which all of them run at once; Covalent's configuration names another."""
    local = AWS("--vcpus", "64", "--memory-mib", "16384", "--time-scale", str(TIME_SCALE))
    yield local
    local.stop()


@pytest.fixture
def gates(tmp_path: Path) -> Iterator[Callable[[str], Gate]]:
    made: dict[str, Gate] = {}

    def gate(name: str) -> Gate:
        if name not in made:
            made[name] = Gate(tmp_path / name)
        return made[name]

    yield gate
    for each in made.values():
        each.open()


class Recover:
    """The command, told of the local AWS and of Covalent's server."""

    def __init__(self, aws: AWS, server: PrivateCovalent) -> None:
        settings = aws.settings
        self._options = [
            *("--server", server.url, "--endpoint-url", aws.endpoint_url, "--region", settings["region"]),
            *("--queue", aws.queue, "--bucket", settings["s3_bucket_name"]),
            *(["--credentials", settings["credentials"]] if settings.get("credentials") else []),
        ]

    def __call__(self, *options: str) -> Result:
        return CliRunner().invoke(main, ["recover", *options, *self._options])

    def json(self, *options: str) -> tuple[int, dict[str, Any]]:
        result = self(*options, "--json")
        assert result.stderr == ""
        return result.exit_code, json.loads(result.stdout)

    def start(self, *options: str, **streams: Any) -> subprocess.Popen[str]:
        """Start it as a program of its own."""
        return subprocess.Popen(
            [*PROGRAM, "recover", *options, *self._options],
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            text=True,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **streams},
        )


@pytest.fixture
def recover(wide: AWS, covalent: PrivateCovalent) -> Recover:
    return Recover(wide, covalent)


def executor_on(aws: AWS, **options: Any) -> AWSBatchExecutor:
    return AWSBatchExecutor(**{**aws.settings, "vcpu": 1, "time_limit": LONG_S * TIME_SCALE, **options})


def workflow_of(aws: AWS, gates: list[Gate], **options: Any) -> Workflow:
    """A task behind each gate, and one that needs all of their values."""
    executor = executor_on(aws, **options)
    holds = [ct.electron(gate.hold, executor=executor) for gate in gates]

    @ct.electron(executor=executor)
    def total(values):
        return sum(values)

    def workflow():
        return total([hold(number) for number, hold in enumerate(holds)])

    return Workflow(ct.lattice(workflow, executor="local", workflow_executor="local"))


def failing_workflow(aws: AWS, gate: Gate) -> Workflow:
    hold = gate.hold

    @ct.electron(executor=executor_on(aws))
    def fail():
        hold()
        raise ValueError("of its own")

    return Workflow(ct.lattice(lambda: fail(), executor="local", workflow_executor="local"))


def states(aws: AWS, run: Workflow) -> list[str]:
    return sorted(job["status"] for job in aws.jobs_of(run.id))


# --- killed -----------------------------------------------------------------------------------------------


def test_what_ran_when_the_server_was_killed_comes_in_and_nothing_runs_twice(
    covalent, wide, recover, gates, tmp_path
):
    early, late, bad = gates("early"), gates("late"), gates("bad")
    crowd = workflow_of(wide, [early, late] * (CROWD // 2))
    failing = failing_workflow(wide, bad)
    for gate, count in ((early, CROWD // 2), (late, CROWD // 2), (bad, 1)):
        gate.wait_for(count)
    covalent.kill()
    early.open()
    bad.open()
    eventually(lambda: states(wide, crowd) == ["RUNNING"] * 10 + ["SUCCEEDED"] * 10)
    eventually(lambda: states(wide, failing) == ["FAILED"])
    covalent.start()
    counted = Counted(wide)

    exit_code, told = recover.json("--no-wait")
    assert exit_code == 1
    ours = [node for node in told["nodes"] if node["dispatch_id"] in (crowd.id, failing.id)]
    assert len(ours) == CROWD + 1
    assert {node["state"] for node in ours if node["came_in"]} == {"COMPLETED", "FAILED"}
    still = [node for node in ours if not node["came_in"]]
    assert [(node["job_state"], node["state"], node["has_outcome"]) for node in still] == [
        ("RUNNING", "RUNNING", False)
    ] * (CROWD // 2)
    assert {each["id"]: each["state"] for each in told["dispatches"]} == {
        crowd.id: "RUNNING",
        failing.id: "FAILED",
    }
    assert told["orphans"] == []

    program = recover.start(crowd.id)
    first_lines = [program.stdout.readline() for _ in still]
    late.open()
    rest, _ = program.communicate(timeout=120)
    assert program.returncode == 0
    assert all(" is RUNNING" in line for line in first_lines)
    assert rest.splitlines()[-2:] == [
        "10 of 10 nodes came in.",
        f"The dispatch {crowd.id} is {crowd_state(rest)}.",
    ]
    assert crowd.value() == sum(range(CROWD))
    assert failing.node("fail")["error"].startswith("ValueError: of its own")
    assert [len(list((tmp_path / name).glob("came-*"))) for name in ("early", "late", "bad")] == [10, 10, 1]
    assert counted("batch", "SubmitJob") == 1  # the sum, which needed all values

    exit_code, told = recover.json(crowd.id)
    assert (exit_code, told["nodes"]) == (0, [])


def crowd_state(output: str) -> str:
    """The dispatch may have ended by the time it is told of."""
    return output.splitlines()[-1].rstrip(".").rpartition(" ")[2]


@pytest.fixture
def default_cache(covalent: PrivateCovalent) -> Iterator[None]:
    """A server as `covalent start` makes it: what it knows of workflows that run is in a temporary file."""
    setting = covalent.environment.pop("COVALENT_CACHE_DB_URL")
    covalent.stop()
    covalent.start()
    yield
    covalent.stop()
    covalent.environment["COVALENT_CACHE_DB_URL"] = setting
    covalent.start()


def test_a_workflow_whose_server_forgot_where_it_stood_is_dispatched_again_with_its_values(
    default_cache, covalent, wide, recover, gates, tmp_path
):
    gate = gates("gate")
    run = workflow_of(wide, [gate, gate])
    gate.wait_for(2)
    covalent.kill()
    gate.open()
    covalent.start()
    result = recover(run.id)
    assert (result.exit_code, result.stderr) == (0, "")
    prospect = result.stdout.splitlines()[-1]
    assert prospect.startswith(
        f"The dispatch {run.id} is FAILED: Covalent does not know any more where it stood. Its values are "
        f"kept: ct.redispatch('{run.id}', reuse_previous_results=True)() runs only what has none."
    )
    database = covalent.environment["COVALENT_DATABASE"]
    assert f"COVALENT_CACHE_DB_URL=sqlite+pysqlite:///{database}," in prospect
    assert redispatched(run) == 1
    assert len(list((tmp_path / "gate").glob("came-*"))) == 2


def redispatched(run: Workflow) -> Any:
    """Do what the command advises, and return what the workflow returns."""
    result = ct.get_result(ct.redispatch(run.id, reuse_previous_results=True)(), wait=True)
    assert str(result.status) == "COMPLETED"
    return result.result


def test_a_server_that_waits_for_a_node_itself_is_not_disturbed(covalent, wide, recover, gates):
    gate = gates("gate")
    run = workflow_of(wide, [gate])
    gate.wait_for(1)
    program = recover.start(run.id)
    assert f"{run.id}/0 (hold): its job " in program.stdout.readline()
    gate.open()
    output, _ = program.communicate(timeout=120)
    assert program.returncode == 0
    assert f"{run.id}/0 (hold) is COMPLETED (1 of 1)" in output
    assert run.value() == 0
    # What Covalent says where a node is brought in twice.
    assert f"Invalid status update COMPLETED for node {run.id}:0" not in covalent.log_path.read_text()


# --- stopped ----------------------------------------------------------------------------------------------


def node_states(run: Workflow) -> list[str]:
    nodes = ct.get_result(run.id, wait=False).get_all_node_results()
    return sorted(str(node["status"]) for node in nodes if node["node_name"] == "hold")


def parents(jobs: list[dict[str, Any]]) -> set[str]:
    return {job["jobId"].partition(":")[0] for job in jobs}


def test_a_stopped_server_ends_the_jobs_or_leaves_them(covalent, wide, recover, gates, tmp_path):
    to_end, to_leave = gates("to-end"), gates("to-leave")
    of_killed_server = workflow_of(wide, [to_end] * 2, on_shutdown="end")
    to_end.wait_for(2)
    covalent.kill()
    covalent.start()  # this one knows the first workflow's jobs by their names only
    ended = workflow_of(wide, [to_end] * 6, on_shutdown="end")
    left = workflow_of(wide, [to_leave] * 2, on_shutdown="leave")
    to_end.wait_for(8)
    to_leave.wait_for(2)
    counted = Counted(wide)

    covalent.stop()
    wanted = [job for run in (of_killed_server, ended) for job in wide.jobs_of(run.id)]
    eventually(lambda: states(wide, of_killed_server) + states(wide, ended) == ["FAILED"] * 8)
    assert {job["statusReason"] for run in (of_killed_server, ended) for job in wide.jobs_of(run.id)} == {
        ENDED_WITH_SERVER
    }
    assert counted("batch", "TerminateJob") == len(parents(wanted))  # an array takes one
    assert states(wide, left) == ["RUNNING"] * 2

    covalent.start()
    to_leave.open()
    exit_code, told = recover.json()
    assert exit_code == 0
    brought_in = {run.id: [] for run in (of_killed_server, ended, left)}
    for node in told["nodes"]:
        brought_in.get(node["dispatch_id"], []).append(node["state"])
    assert brought_in == {
        of_killed_server.id: ["CANCELLED"] * 2,
        ended.id: ["CANCELLED"] * 6,
        left.id: ["COMPLETED"] * 2,
    }
    # Covalent, when it stops, cancels what has not begun: the sum.
    assert str(left.result().status) == "CANCELLED"
    advice = next(each["advice"] for each in told["dispatches"] if each["id"] == left.id)
    assert f"ct.redispatch('{left.id}', reuse_previous_results=True)()" in advice
    assert redispatched(left) == 1
    assert len(list((tmp_path / "to-leave").glob("came-*"))) == 2


# --- orphans ----------------------------------------------------------------------------------------------


@pytest.fixture
def definition(wide: AWS) -> str:
    """A job definition, made in the way in which the tasks' own are."""
    answer = wide.batch.register_job_definition(
        jobDefinitionName=f"orphans-{uuid.uuid4().hex[:8]}",
        type="container",
        containerProperties={
            "image": "any",
            "command": ["sleep", str(LONG_S)],
            "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "128"}],
        },
    )
    return str(answer["jobDefinitionArn"])


class Abandoned:
    """Jobs of a dispatch that no server knows, and one of the client's; all run for long."""

    def __init__(self, aws: AWS, definition: str) -> None:
        self.dispatch_id = str(uuid.uuid4())
        self._aws = aws
        self._definition = definition
        self.job_id = self._submit(contract.job_name(self.dispatch_id, 0))
        self.array_id = self._submit(contract.job_name(self.dispatch_id, 7, rung=1), size=3)
        self.clients_id = self._submit(contract.job_name("sleep-0a1b2c3d4e5f", 0))
        eventually(lambda: self.state(self.job_id) == self.state(self.clients_id) == "RUNNING")

    def _submit(self, name: str, size: int = 1) -> str:
        array = {"arrayProperties": {"size": size}} if size > 1 else {}
        answer = self._aws.batch.submit_job(
            jobName=name, jobQueue=self._aws.queue, jobDefinition=self._definition, **array
        )
        return str(answer["jobId"])

    def state(self, job_id: str) -> str:
        return str(self._aws.batch.describe_jobs(jobs=[job_id])["jobs"][0]["status"])

    def end(self) -> None:
        for job_id in (self.job_id, self.array_id, self.clients_id):
            self._aws.batch.terminate_job(jobId=job_id, reason="the test is over")


@pytest.fixture
def abandoned(wide: AWS, definition: str) -> Iterator[Abandoned]:
    made = Abandoned(wide, definition)
    yield made
    made.end()


def test_orphans_are_listed_and_nothing_is_ended_before_somebody_says_so(wide, recover, abandoned):
    counted = Counted(wide)
    exit_code, told = recover.json(abandoned.dispatch_id)
    assert (exit_code, told["nodes"]) == (0, [])
    assert [(each["batch_id"], each["array_size"], each["is_ended"]) for each in told["orphans"]] == [
        (abandoned.job_id, None, False),
        (abandoned.array_id, 3, False),
    ]
    result = recover(abandoned.dispatch_id, "--end-orphans")
    assert result.exit_code == 0
    assert "Jobs of dispatches that this server does not know may be another server's." in result.stdout
    assert f"would be ended: the job covalent-{abandoned.dispatch_id}-0 ({abandoned.job_id}" in result.stdout
    assert f"would be ended: the array covalent-{abandoned.dispatch_id}-7r1 (" in result.stdout
    last = result.stdout.splitlines()[-1]
    assert last == "Nothing was changed: repeat it with --yes to end 2 jobs and 0 nodes."
    assert "There is nothing to end." in recover("--end-orphans", "--older-than", "1d", "--yes").stdout
    assert counted("batch", "TerminateJob") == 0


def test_orphans_of_an_age_are_ended_arrays_with_one_call_and_never_the_clients(wide, recover, abandoned):
    counted = Counted(wide)
    exit_code, told = recover.json("--end-orphans", "--older-than", "0s", "--yes")
    ours = [each for each in told["orphans"] if each["id"] == abandoned.dispatch_id]
    assert (exit_code, [each["is_ended"] for each in ours]) == (0, [True, True])
    assert counted("batch", "TerminateJob") == len(told["orphans"])
    eventually(lambda: abandoned.state(abandoned.job_id) == abandoned.state(abandoned.array_id) == "FAILED")
    assert abandoned.state(abandoned.clients_id) == "RUNNING"


@pytest.mark.parametrize(("says", "state"), [("n\n", "RUNNING"), ("y\n", "FAILED")])
def test_on_a_terminal_it_asks(recover, abandoned, says, state):
    ours, terminal = pty.openpty()
    try:
        program = recover.start(abandoned.dispatch_id, "--end-orphans", stdin=terminal)
        os.write(ours, says.encode())
        output, _ = program.communicate(timeout=120)
    finally:
        os.close(ours)
        os.close(terminal)
    assert "End 2 jobs and 0 nodes? [y/N]: " in output
    assert program.returncode == 0
    eventually(lambda: abandoned.state(abandoned.job_id) == state)


def test_a_node_of_which_nothing_is_left_is_called_failed_on_request(covalent, wide, recover, gates):
    """Somebody has emptied the bucket, and AWS Batch's jobs are found by what lies there."""
    gate = gates("gate")
    run = workflow_of(wide, [gate])
    gate.wait_for(1)
    covalent.kill()
    covalent.start()
    bucket = wide.settings["s3_bucket_name"]
    for each in wide.s3.list_objects_v2(Bucket=bucket, Prefix=contract.pack_prefix(run.id))["Contents"]:
        wide.s3.delete_object(Bucket=bucket, Key=each["Key"])
    result = recover(run.id)
    assert result.exit_code == 1
    assert f"orphaned: {run.id}/0 (hold): it has neither a job nor an outcome" in result.stdout
    dry = recover(run.id, "--end-orphans")
    assert (dry.exit_code, run.status()) == (1, "RUNNING")
    assert f"would be called FAILED: {run.id}/0 (hold)" in dry.stdout
    assert recover(run.id, "--end-orphans", "--yes").exit_code == 0
    assert str(run.result().status) == "FAILED"
    assert run.node("hold")["error"].startswith("AWS Batch does not know the job of this task")


# --- what it refuses --------------------------------------------------------------------------------------


def test_nothing_is_ended_without_a_dispatch_or_an_age():
    result = CliRunner().invoke(main, ["recover", "--end-orphans", "--yes"])
    assert result.exit_code == 2
    assert "--end-orphans needs a DISPATCH or --older-than: jobs may be another server's." in result.stderr


def test_an_age_must_be_one():
    result = CliRunner().invoke(main, ["recover", "--older-than", "soon"])
    assert result.exit_code == 2
    assert "'soon' is no time such as 90m, 2h or 1d." in result.stderr


def test_a_dispatch_that_nobody_knows_is_said_to_be_unknown(recover, wide):
    unknown = str(uuid.uuid4())
    result = recover(unknown)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"does not know the dispatch '{unknown}', and the queue '{wide.queue}' has no job" in result.stderr


def test_a_server_that_does_not_answer_is_said_to_be_away(aws):
    url = f"http://127.0.0.1:{free_port()}"
    result = CliRunner().invoke(main, ["recover", "--server", url])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: Covalent's server at {url} does not answer (")
    assert "Start it with `covalent start`" in result.stderr


def test_an_address_must_be_one():
    result = CliRunner().invoke(main, ["recover", "--server", "localhost:48008"])
    assert result.stderr.startswith("Error: 'localhost:48008' is no address of a server, such as")
