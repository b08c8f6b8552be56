"""Keeps every test away from the user's own Covalent and AWS, before anything imports Covalent."""

import atexit
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from demo.private_covalent import free_port, private_environment

ROOT = Path(__file__).parents[1]

_directory = Path(tempfile.mkdtemp(prefix="covalent-awsbatch-tests-"))
atexit.register(shutil.rmtree, _directory, ignore_errors=True)
_environment = {
    **private_environment(_directory, free_port()),
    # An executor that announces run() only, as Covalent's older runner and other callers drive it.
    "COVALENT_EXECUTOR_DIR": str(Path(__file__).parent / "e2e" / "executors"),
}
for _size in ("COLUMNS", "LINES"):  # of the terminal that tests are told of; programs have their own
    _environment.pop(_size, None)
os.environ.clear()
os.environ.update(_environment)

# A shell lets what it starts in the background ignore Ctrl-C, and so would all programs that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A machine may be slow at any moment; that is no property of the code. Each run has the same examples, so
# that a change is what makes a test fail; `--hypothesis-profile=explore` looks for new ones.
settings.register_profile("explore", deadline=None)
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")


@pytest.fixture
def no_covalent_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have no Covalent server where this process looks for one; other tests may have left theirs running."""
    monkeypatch.setenv("COVALENT_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("COVALENT_SVC_PORT", str(free_port()))


class ByFile(LoadFileScheduling):  # type: ignore[misc]  # pytest-xdist has no types for it
    """Shares the tests among processes: those of a file stay together, and all that use Docker.

    There is one Docker engine, and such tests look at all of its containers and images.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.split("::", 1)[0]
        return "docker" if "docker_engine" in (ROOT / path).read_text() else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return who shares the tests among processes."""
    return ByFile(config, log)
