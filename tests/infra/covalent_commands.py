"""Covalent's own command line, as a user has it who has installed this package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import toml

INFRA = Path("covalent_awsbatch_plugin", "assets", "infra")


class Covalent:
    """Covalent's command line, with its configuration in a directory of its own."""

    def __init__(self, shipped: Path, directory: Path) -> None:
        self._directory = directory
        shutil.copytree(shipped, directory / "site")
        self.infra = directory / "site" / INFRA
        self.configuration = directory / "config" / "covalent.conf"
        self._programs = directory / "bin"
        self._programs.mkdir()
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "HOME": str(directory),
            "COVALENT_CONFIG_DIR": str(self.configuration.parent),
            "COVALENT_EXECUTOR_DIR": "",
            "PATH": f"{self._programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(directory / "site"),
        }
        stand_in = Path(__file__).with_name("stand_in_terraform.py")
        self.put_program("terraform", f'#!/bin/sh\nexec "{sys.executable}" "{stand_in}" "$@"\n')
        for name in ("docker", "git"):  # Covalent only looks whether they are there
            self.put_program(name, "#!/bin/sh\n")

    def put_program(self, name: str, script: str) -> None:
        (self._programs / name).write_text(script)
        (self._programs / name).chmod(0o755)

    def put_terraform(self, version: str) -> None:
        """Have a Terraform that only tells its version."""
        script = f"""#!/bin/sh
        case "$*" in
          *-json*) echo '{{"terraform_version": "{version}"}}' ;;
          *) echo 'Terraform v{version}' ;;
        esac
        """
        self.put_program("terraform", script)

    def __call__(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from covalent_dispatcher._cli.cli import cli; cli()", *words],
            cwd=self._directory,  # the first on Python's path, before PYTHONPATH
            env=self._environment | variables,
            capture_output=True,
            text=True,
        )

    def write_configuration(self, text: str) -> None:
        self.configuration.parent.mkdir()
        self.configuration.write_text(text)

    def section(self) -> dict[str, Any]:
        return dict(toml.load(self.configuration)["executors"]["awsbatch"])
