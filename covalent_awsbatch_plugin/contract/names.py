"""Environment variables, command and exit codes of a job."""

from __future__ import annotations

ENV_PAYLOAD = "COVALENT_AWSBATCH_PAYLOAD"
"""Environment variable with the `s3://bucket/key` of the pack that the job's payload lies in."""

ENV_ARRAY_INDEX = "AWS_BATCH_JOB_ARRAY_INDEX"
"""AWS Batch gives it to the children of an array: which payload is theirs. Others take the first."""

ENV_ATTEMPT = "AWS_BATCH_JOB_ATTEMPT"
"""AWS Batch gives it to every job, counted from 1 for each job anew."""

ENV_RUNG = "COVALENT_AWSBATCH_RUNG"
"""How often the tasks were submitted before this job, with less memory, say; missing: never."""

RUNTIME_COMMAND = ("python", "-m", "covalent_awsbatch_plugin.runtime")
"""What every job definition runs."""

# --- exit codes ------------------------------------------------------------------------------------
# Chosen outside the ranges that shells (1, 2, 126 and up) and sysexits (64 to 78) give a meaning to,
# so that the code alone tells who ended the job.

EXIT_VALUE = 0
EXIT_USER_EXCEPTION = 101
EXIT_RUNTIME_FAULT = 102
EXIT_DUPLICATE = 103
"""Another job does the same tasks; this one ran none and left nothing."""
EXIT_CONFLICT = 104
"""The attempt has an outcome already, which stays."""
EXIT_TERMINATED = 143
"""128 + SIGTERM, as a shell would report it."""
