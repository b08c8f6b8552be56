"""Keeps every test away from the user's own Covalent and AWS, before anything imports Covalent."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings

from demo.private_covalent import free_port, private_environment

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
