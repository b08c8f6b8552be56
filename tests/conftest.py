"""Keeps every test away from the user's own Covalent and AWS, before anything imports Covalent."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from demo.private_covalent import free_port, private_environment
from tests import docker_engine

_directory = Path(tempfile.mkdtemp(prefix="covalent-awsbatch-tests-"))
atexit.register(shutil.rmtree, _directory, ignore_errors=True)
_environment = {
    **private_environment(_directory, free_port()),
    # An executor that announces run() only, as Covalent's older runner and other callers drive it.
    "COVALENT_EXECUTOR_DIR": str(Path(__file__).parent / "e2e" / "executors"),
}
os.environ.clear()
os.environ.update(_environment)

# A machine may be slow at any moment; that is no property of the code.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

WITH_DOCKER = {"containers", "engine", "in_docker"}
"""Fixtures that stand on the Docker engine."""


@pytest.hookimpl(tryfirst=True)  # before the plugin that shares them looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let several processes share the tests: those of a file, and all that use Docker, stay together.

    There is one Docker engine, and such tests look at all of its containers and images.
    """
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        uses_docker = fixtures & WITH_DOCKER or getattr(item.module, "docker_engine", None) is docker_engine  # type: ignore[attr-defined]
        item.add_marker(pytest.mark.xdist_group("docker" if uses_docker else item.path.name))
