"""Start the worker, then supervise it."""

from __future__ import annotations

import os
from typing import NoReturn

from covalent_awsbatch_plugin.contract import EXIT_RUNTIME_FAULT
from covalent_awsbatch_plugin.runtime.fault import complain
from covalent_awsbatch_plugin.runtime.process import Channels
from covalent_awsbatch_plugin.runtime.termination import Termination


def main() -> None:
    """Fork the worker, which ends like any Python program; the supervisor ends with the job's exit code."""
    termination = Termination()
    channels = Channels.open()
    # The fork comes before obstore is imported: its threads would not survive a fork, and the user's
    # code may want to use obstore itself.
    worker_pid = os.fork()
    if worker_pid == 0:
        termination.abandon()
        from covalent_awsbatch_plugin.runtime.worker import serve

        serve(channels)
    else:
        _supervise(channels, worker_pid, termination)


def _supervise(channels: Channels, worker_pid: int, termination: Termination) -> NoReturn:
    """Supervise the worker; without obstore there is no outcome, so the log must say what is missing."""
    try:
        from covalent_awsbatch_plugin.runtime.job import supervise
    except ImportError as error:
        complain(f"The image has no obstore that the runtime can use: {error}")
        os._exit(EXIT_RUNTIME_FAULT)
    supervise(channels, worker_pid, termination)


if __name__ == "__main__":
    main()
