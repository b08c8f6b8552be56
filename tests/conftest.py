"""Keeps every test away from the user's own Covalent and AWS, before anything imports Covalent."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from demo.private_covalent import free_port, private_environment

PRIVATE_DIRECTORY = Path(tempfile.mkdtemp(prefix="covalent-awsbatch-tests-"))
COVALENT_PORT = free_port()

atexit.register(shutil.rmtree, PRIVATE_DIRECTORY, ignore_errors=True)
_environment = private_environment(PRIVATE_DIRECTORY, COVALENT_PORT)
os.environ.clear()
os.environ.update(_environment)
