"""`covalent-awsbatch local` as a program of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import toml
from click.testing import CliRunner

from covalent_awsbatch_plugin import __version__
from covalent_awsbatch_plugin.cli import main
from tests.infra.account import Account

from .driving import call, until
from .program import COMMAND, ROOT


def processes_mentioning(text: str) -> list[int]:
    """Return the processes whose command or environment holds the text."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                everything = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if text.encode() in everything:
                found.append(int(entry.name))
    return found


def submit_stubborn_job(info: dict[str, Any], files: Path) -> None:
    """Start a job that ignores SIGTERM and has a child that left its process group; return when it has."""
    batch = boto3.client(
        "batch",
        endpoint_url=info["endpoint_url"],
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="y",
    )
    code = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if os.fork() == 0: os.setsid(); open('child-is-away', 'w').close()\n"
        "time.sleep(300)"
    )
    needs = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]
    container = {"image": "i", "command": ["python", "-c", code], "resourceRequirements": needs}
    batch.register_job_definition(
        jobDefinitionName="stubborn", type="container", containerProperties=container
    )
    queue = info["settings"]["batch_queue"]
    job_id = batch.submit_job(jobName="j", jobQueue=queue, jobDefinition="stubborn")["jobId"]
    until(lambda: list(files.rglob("child-is-away")))
    assert batch.describe_jobs(jobs=[job_id])["jobs"][0]["status"] == "RUNNING"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_cleanly_with_nothing_left(start: Any, tmp_path: Path, number: int) -> None:
    program = start("--json")
    info = json.loads(program.line())
    assert info["pid"] == program.process.pid
    submit_stubborn_job(info, tmp_path)
    assert len(processes_mentioning(str(tmp_path))) >= 4  # itself, its guardian, a job of two
    assert program.end(number) == 0
    assert processes_mentioning(str(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


def test_even_sigkill_leaves_no_job_and_no_files(start: Any, tmp_path: Path) -> None:
    program = start("--json")
    submit_stubborn_job(json.loads(program.line()), tmp_path)
    program.end(signal.SIGKILL)
    until(lambda: processes_mentioning(str(tmp_path)) == [])
    assert list(tmp_path.iterdir()) == []


def test_it_prints_settings_to_copy(start: Any) -> None:
    program = start("--time-scale", "2", "--latency-ms", "1", "--throttle", "--memory-mib", "512")
    lines = []
    while "container_image_uri" not in (line := program.line()):
        lines.append(line)
    settings = toml.loads("".join([*lines, line]))["executors"]["awsbatch"]
    assert call(f"{settings['endpoint_url']}/_local/health", "GET") == (200, {"status": "ok"})
    assert settings["batch_queue"] == "covalent-awsbatch-local"
    assert settings["profile"] == "default"
    assert "aws_access_key_id" in Path(settings["credentials"]).read_text()
    assert program.end(signal.SIGTERM) == 0


def test_an_empty_one_has_settings_for_its_place_and_nothing_but_the_default_network(start: Any) -> None:
    info = json.loads(start("--empty", "--json").line())
    place = {"endpoint_url", "region", "credentials", "profile"}
    assert set(info["settings"]) == place | {"container_image_uri"}
    account = Account(SimpleNamespace(endpoint_url=info["endpoint_url"], region=info["settings"]["region"]))
    assert {kind for kind, _ in account.everything()} == {
        "describe_vpcs",
        "describe_subnets",
        "describe_security_groups",
        "describe_route_tables",
    }
    (vpc,) = account.client("ec2").describe_vpcs()["Vpcs"]
    assert vpc["IsDefault"]


def test_a_state_directory_is_kept_without_the_jobs(start: Any, tmp_path: Path) -> None:
    state = tmp_path / "state"
    program = start("--json", "--state-dir", str(state))
    info = json.loads(program.line())
    assert info["settings"]["credentials"] == str(state / "credentials")
    submit_stubborn_job(info, state)
    assert program.end(signal.SIGTERM) == 0
    assert [path.name for path in state.iterdir()] == ["credentials"]


def test_a_taken_port_is_said_in_one_line(start: Any) -> None:
    port = json.loads(start("--json").line())["endpoint_url"].rpartition(":")[2]
    second = subprocess.run(
        [*COMMAND, "--port", port],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert second.returncode == 1
    assert second.stderr.strip() == f"Error: cannot listen on 127.0.0.1:{port}: Address already in use"


def test_help_and_version() -> None:
    assert __version__ in CliRunner().invoke(main, ["--version"]).output
    listed = CliRunner().invoke(main, ["--help"])
    assert "local" in listed.output
    told = CliRunner().invoke(main, ["local", "--help"])
    for option in ("--port", "--vcpus", "--memory-mib", "--runner", "--throttle", "--latency-ms",
                   "--time-scale", "--state-dir", "--faults", "--empty", "--json"):  # fmt: skip
        assert option in told.output
    assert CliRunner().invoke(main, ["no-such-command"]).exit_code == 2
    assert CliRunner().invoke(main, ["local", "--time-scale", "0"]).exit_code == 2


def test_a_missing_extra_is_said_with_what_to_install() -> None:
    code = (
        "import sys\n"
        "sys.modules['moto'] = None\n"
        "from covalent_awsbatch_plugin.cli import main\n"
        "main(['local', '--port', '0'])"
    )
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)},
                          capture_output=True, text=True, check=False, timeout=30)  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("Error: the local AWS needs moto")
    assert "covalent-awsbatch-plugin[local]" in done.stderr


def test_help_does_not_import_the_local_aws() -> None:
    code = (
        "import sys\n"
        "from covalent_awsbatch_plugin.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "print(sorted({'moto', 'boto3', 'botocore', 'uvicorn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)},
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]"
