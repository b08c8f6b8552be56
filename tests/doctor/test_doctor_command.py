"""`covalent-awsbatch doctor`: what a person sees, what programs read, and the job of --run."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from covalent_awsbatch_plugin.cli import main
from covalent_awsbatch_plugin.local.aws import LocalAWS
from covalent_awsbatch_plugin.local.faults.plan import JobFault, Plan
from covalent_awsbatch_plugin.local.timing import Timing
from tests.e2e.command_line import Program

from .account import Account

STAGES = ["preparation", "upload and submission", "place and start", "program's start", "running"]
STARTING_SEEN = ["preparation", "upload and submission", "place (RUNNABLE)", "start (STARTING)"]


class Doctor(Program):
    """The command, with an account in its configuration."""

    def __init__(self, account: Account, **changes: Any) -> None:
        super().__init__((), {**account.settings, **changes}, account.directory)
        self._environment = {"COVALENT_CONFIG_DIR": str(account.directory)}

    def __call__(self, *options: str) -> Result:
        self.configure()
        return CliRunner().invoke(main, ["doctor", *options], env=self._environment)


def test_a_healthy_account_is_all_well(account: Account):
    result = Doctor(account)()
    assert (result.exit_code, result.stderr) == (0, "")
    marks = {line[0] for line in result.stdout.splitlines() if not line.startswith(" ")}
    assert marks == {"✓"}


def test_what_is_wrong_is_told_with_its_reason_and_the_command_that_mends_it(account: Account):
    result = Doctor(account, s3_bucket_name="no-such-bucket")()
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    (number,) = (number for number, line in enumerate(lines) if line.startswith("✗ bucket"))
    what, why, mend = lines[number : number + 3]
    assert "The S3 bucket 'no-such-bucket' does not exist" in what
    assert why.strip() == "functions, arguments and results travel through it"
    assert mend.strip().startswith("→ ")
    assert "s3://no-such-bucket" in shlex.split(mend)
    assert f"AWS_SHARED_CREDENTIALS_FILE={account.credentials}" in shlex.split(mend)
    assert any(line.startswith("– objects") for line in lines)


def test_a_warning_is_no_failure(account: Account):
    account.s3.delete_bucket_lifecycle(Bucket=account.name)
    result = Doctor(account)()
    assert result.exit_code == 0
    assert re.search("^! lifecycle", result.stdout, re.MULTILINE)


def test_programs_read_json(account: Account):
    result = Doctor(account, batch_queue="nowhere")("--json")
    assert (result.exit_code, result.stderr) == (1, "")
    told = json.loads(result.stdout)
    assert told["stages"] == []
    assert all(set(each) == {"check", "state", "seen", "why", "mend"} for each in told["findings"])
    states = {each["check"]: each["state"] for each in told["findings"]}
    assert (states["bucket"], states["queue"], states["environment"]) == ("ok", "failed", "skipped")


def test_options_come_before_the_configuration(account: Account):
    result = Doctor(account)("--json", "--queue", "nowhere")
    states = {each["check"]: each["state"] for each in json.loads(result.stdout)["findings"]}
    assert states["queue"] == "failed"


def test_a_configuration_that_cannot_be_read_is_a_finding(account: Account):
    doctor = Doctor(account)
    doctor.configure()
    Path(account.directory, "covalent.conf").write_text("[executors")
    environment = {"COVALENT_CONFIG_DIR": str(account.directory)}
    result = CliRunner().invoke(main, ["doctor"], env=environment)
    assert result.exit_code == 1
    assert re.search("^✗ configuration", result.stdout, re.MULTILINE)
    assert re.search("^– credentials", result.stdout, re.MULTILINE)


def test_what_infra_up_makes_is_all_well(tmp_path: Path):
    with LocalAWS(empty=True, timing=Timing(settle_delay_s=0.01)) as aws:
        program = Program((), aws.settings, tmp_path)
        program.configure()
        environment = {"COVALENT_CONFIG_DIR": str(tmp_path)}
        made = CliRunner().invoke(main, ["infra", "up", "--yes"], env=environment)
        assert made.exit_code == 0, made.output
        result = CliRunner().invoke(main, ["doctor", "--run"], env=environment)
    assert result.exit_code == 0, result.output
    findings, _, table = result.stdout.partition("\nstage ")
    assert {line[0] for line in findings.splitlines() if not line.startswith(" ")} == {"✓"}
    assert "result noticed" in table


# --- --run ----------------------------------------------------------------------------------------------


def test_a_job_is_run_and_each_stage_timed(account: Account):
    result = Doctor(account)("--run", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert {each["state"] for each in told["findings"]} == {"ok"}
    assert told["findings"][-1]["check"] == "run"
    names = [each["name"] for each in told["stages"]]
    assert [*STAGES, "result noticed"] == names or names[:4] == STARTING_SEEN
    assert all(each["seconds"] >= 0 and each["clock"] for each in told["stages"])
    assert "Contents" not in account.s3.list_objects_v2(Bucket=account.name)


def test_the_stages_are_a_table_on_a_terminal(account: Account):
    shown, _ = Doctor(account).show_on_terminal("doctor", "--run", stream="stdout", columns=120)
    table = shown[shown.index("stage ") :].splitlines()
    assert all(word in table[0] for word in ("stage", "time", "share", "clock"))
    assert all(re.search(r"\d+%", line) for line in table[1:6])
    assert "in all" in shown


def test_nothing_is_run_where_something_is_wrong(account: Account):
    result = Doctor(account, batch_queue="nowhere")("--run", "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["stages"] == []
    assert "run" not in [each["check"] for each in told["findings"]]


@pytest.mark.parametrize(
    ("effect", "says"),
    [({"cannot_pull": "forbidden"}, "image"), ({"role": True}, "role")],
)
def test_a_job_that_fails_is_a_finding(account: Account, effect: dict[str, Any], says: str):
    account.aws.replace_faults(Plan(faults=[JobFault.model_validate({"effect": effect})]))
    result = Doctor(account)("--run", "--json")
    assert result.exit_code == 1
    run = json.loads(result.stdout)["findings"][-1]
    assert (run["check"], run["state"]) == ("run", "failed")
    assert says in run["seen"]
    assert run["mend"].startswith("covalent-awsbatch job ")
