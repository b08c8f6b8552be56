"""Start the worker, then supervise it."""

from __future__ import annotations

import os

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
        from covalent_awsbatch_plugin.runtime.job import supervise

        supervise(channels, worker_pid, termination)


if __name__ == "__main__":
    main()
