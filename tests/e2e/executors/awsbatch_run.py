"""The same executor without managed execution: Covalent's server then drives `run()`."""

from covalent_awsbatch_plugin.awsbatch import AWSBatchExecutor

EXECUTOR_PLUGIN_NAME = "RunExecutor"

_EXECUTOR_PLUGIN_DEFAULTS: dict = {}


class RunExecutor(AWSBatchExecutor):
    SUPPORTS_MANAGED_EXECUTION = False
