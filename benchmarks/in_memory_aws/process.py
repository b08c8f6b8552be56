"""The AWS in memory as a measurement uses it: a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from types import TracebackType
from typing import Any

from .app import REPORT_PATH

STOP_TIMEOUT_S = 20


class InMemoryAWS:
    """An AWS in memory; `with` starts and stops it."""

    def __init__(
        self, *, latency_ms: float = 30, job_s: float = 1, throttle: bool = True, container: str = ""
    ) -> None:
        self._options = [f"--latency-ms={latency_ms}", f"--job-s={job_s}"]
        self._options += ["--throttle"] if throttle else []
        self._options += [f"--container={container}"] if container else []

    def __enter__(self) -> InMemoryAWS:
        command = [sys.executable, "-m", "benchmarks.in_memory_aws", *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if line == "":
            raise RuntimeError("The AWS in memory did not start; its reason stands above.")
        ready = json.loads(line)
        self.endpoint_url: str = ready["endpoint_url"]
        self.settings: dict[str, Any] = ready["settings"]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    @property
    def environment(self) -> dict[str, str]:
        """The variables that a client needs beside the settings."""
        return {
            "AWS_ACCESS_KEY_ID": "benchmark",
            "AWS_SECRET_ACCESS_KEY": "benchmark",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def report(self) -> dict[str, Any]:
        """Return what was asked for since the start, and when which job ran."""
        with urllib.request.urlopen(f"{self.endpoint_url}{REPORT_PATH}") as answer:
            report: dict[str, Any] = json.load(answer)
            return report
