"""Run Covalent electrons, and plain Python functions, as AWS Batch jobs.

This file stays empty but for the version: every `import covalent` and every job's container
pass through it.
"""

__version__ = "1.0.0.dev0"
