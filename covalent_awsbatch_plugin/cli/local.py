"""`covalent-awsbatch local`: run the local AWS until Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from covalent_awsbatch_plugin.local.errors import MissingProgram
from covalent_awsbatch_plugin.local.runner import RunnerKind
from covalent_awsbatch_plugin.local.timing import Timing

if TYPE_CHECKING:
    from covalent_awsbatch_plugin.local.aws import LocalAWS, Options
    from covalent_awsbatch_plugin.local.faults.plan import Plan

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command("local")
@click.option("--port", default=4599, show_default=True, help="Loopback port; 0 takes a free one.")
@click.option("--vcpus", type=click.IntRange(1), help="vCPUs for jobs. [default: the machine's]")
@click.option("--memory-mib", type=click.IntRange(4), help="Memory for jobs. [default: the machine's]")
@click.option(
    "--runner",
    type=click.Choice([kind.value for kind in RunnerKind]),
    default=RunnerKind.PROCESS.value,
    show_default=True,
    help="What runs a job.",
)
@click.option("--throttle", is_flag=True, help="Refuse calls above AWS's rates.")
@click.option(
    "--latency-ms",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="Delay before every answer.",
)
@click.option(
    "--time-scale",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Divides jobs' time limits, of which AWS's shortest is a minute.",
)
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to keep files. [default: a temporary directory]",
)
@click.option(
    "--faults",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A plan of what goes wrong, as JSON: "
    '{"faults": [{"operation": "SubmitJob", "calls": [1], "effect": {"cut": "after"}}]}; '
    "docs/local-faults.md has all effects.",
)
@click.option("--python-path", multiple=True, help="Directory of importable code for jobs; repeatable.")
@click.option("--empty", is_flag=True, help="Begin with nothing: no bucket, queue or role.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of TOML.")
def command(
    port: int,
    vcpus: int | None,
    memory_mib: int | None,
    runner: str,
    throttle: bool,
    latency_ms: float,
    time_scale: float,
    state_dir: Path | None,
    faults: Path | None,
    python_path: tuple[str, ...],
    empty: bool,
    as_json: bool,
) -> None:
    """Run AWS Batch, S3, IAM, STS, Logs and CloudFormation on this machine.

    Prints the settings for Covalent when it is ready, and stops on Ctrl-C with nothing left running.
    """
    stopped = _stop_on_signals()
    try:
        from covalent_awsbatch_plugin.local.aws import LocalAWS, Options
        from covalent_awsbatch_plugin.local.faults.plan import Plan
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"the local AWS needs {error.name}: pip install 'covalent-awsbatch-plugin[local]'"
        ) from error
    options = Options(
        port=port,
        vcpus=vcpus,
        memory_mib=memory_mib,
        throttle=throttle,
        latency_ms=latency_ms,
        timing=Timing(time_scale=time_scale),
        state_dir=state_dir,
        python_path=python_path,
        runner=RunnerKind(runner),
        faults=Plan() if faults is None else _read_plan(faults),
        empty=empty,
    )
    aws = _start(LocalAWS, options)
    try:
        click.echo(_as_json(aws) if as_json else _as_toml(aws))
        stopped.wait()
    finally:
        aws.stop()


def _stop_on_signals() -> threading.Event:
    """Set an event on the signals that end a program, so that even an early one ends this cleanly."""
    stopped = threading.Event()
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: stopped.set())
    return stopped


def _read_plan(file: Path) -> Plan:
    from covalent_awsbatch_plugin.local.faults.plan import PlanError, read_plan

    try:
        return read_plan(file.read_bytes())
    except PlanError as error:
        raise click.ClickException(f"{file} is no plan of faults: {error}") from error


def _start(kind: type[LocalAWS], options: Options) -> LocalAWS:
    try:
        return kind(options).start()
    except OSError as error:
        raise click.ClickException(f"cannot listen on 127.0.0.1:{options.port}: {error.strerror}") from error
    except MissingProgram as error:
        raise click.ClickException(str(error)) from error


def _as_json(aws: LocalAWS) -> str:
    return json.dumps({"endpoint_url": aws.endpoint_url, "settings": aws.settings, "pid": os.getpid()})


def _as_toml(aws: LocalAWS) -> str:
    lines = [f"{name} = {json.dumps(value)}" for name, value in aws.settings.items()]
    return "\n".join(
        [
            f"# The local AWS is ready at {aws.endpoint_url} (process {os.getpid()}); Ctrl-C stops it.",
            "# Settings for Covalent's configuration file:",
            "[executors.awsbatch]",
            *lines,
        ]
    )
