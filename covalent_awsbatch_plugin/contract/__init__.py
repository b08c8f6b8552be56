"""What the dispatcher and the container agree on: names, keys, exit codes and envelopes.

Both sides import this package and nothing else of each other, so it needs only the standard library
and does no I/O.

A job is described by one *payload* in S3, which names one or more *tasks* (several where Covalent
packs a task group into one job). Each task leaves one *outcome* for each attempt. Both are
*envelopes*: a small JSON header followed by raw sections, so that a header can be read, and a section
streamed, without ever opening a pickle.

    MAGIC (8 bytes) | header length (8 bytes, big endian) | header (JSON) | section | section | …

An outcome ends with a *seal*: the SHA-256 of all before it, which tells what was cut short or altered, and
that checksum keyed with the dispatch's own key, which tells who wrote it. A section that is too large for
one request is *detached*: an object of its own, stored before the outcome, whose header has its checksums.

The payloads of the jobs that are submitted together, as one array, lie in one *pack*; a job that is
submitted alone has a pack of one. The table at its start lets a job find its payload by its array index
without reading the others. Entries have one length, so that two of them tell where a payload lies.

    PACK_MAGIC (8) | number of payloads (8) | entry | entry | … | payload | payload | …
    entry: group id (8) | offset of its payload (8); one more entry than payloads tells where the last ends
"""

from __future__ import annotations

from covalent_awsbatch_plugin.contract.envelopes import (
    MAGIC,
    PACK_MAGIC,
    PACK_PREAMBLE_BYTES,
    PREAMBLE_BYTES,
    EnvelopeError,
    ForeignEnvelopeError,
    Section,
    entries_range,
    header_length,
    pack_header,
    pack_size,
    pack_start,
    parse_entries,
    parse_header,
)
from covalent_awsbatch_plugin.contract.keys import (
    JOB_NAME_PREFIX,
    KEY_PREFIX,
    MAX_ATTEMPTS,
    JobName,
    attempt_of,
    claim_key,
    claim_prefix,
    detached_key,
    detached_prefix,
    dispatch_prefix,
    function_key,
    group_of_pack,
    input_key,
    input_prefix,
    job_name,
    outcome_key,
    outcome_of,
    outcome_prefix,
    outcomes_prefix,
    pack_key,
    pack_prefix,
    run_of,
    rung_of,
    rung_of_pack,
)
from covalent_awsbatch_plugin.contract.names import (
    ENV_ARRAY_INDEX,
    ENV_ATTEMPT,
    ENV_PAYLOAD,
    ENV_RUNG,
    EXIT_CONFLICT,
    EXIT_DUPLICATE,
    EXIT_RUNTIME_FAULT,
    EXIT_TERMINATED,
    EXIT_USER_EXCEPTION,
    EXIT_VALUE,
    RUNTIME_COMMAND,
)
from covalent_awsbatch_plugin.contract.outcomes import (
    CHUNK_BYTES,
    INLINE_BYTES,
    MAX_CHUNKS,
    MAX_OUTCOME_BYTES,
    OUTCOME_SECTIONS,
    SECTION_OBJECT_STRING,
    SECTION_STDERR,
    SECTION_STDOUT,
    SECTION_VALUE,
    Chunk,
    Container,
    Detached,
    Failure,
    Outcome,
    OutcomeStatus,
    chunk_bytes_of,
    pack_outcome,
    parse_outcome,
)
from covalent_awsbatch_plugin.contract.payloads import (
    Hook,
    Input,
    Payload,
    Task,
)

__all__ = [
    "CHUNK_BYTES",
    "ENV_ARRAY_INDEX",
    "ENV_ATTEMPT",
    "ENV_PAYLOAD",
    "ENV_RUNG",
    "EXIT_CONFLICT",
    "EXIT_DUPLICATE",
    "EXIT_RUNTIME_FAULT",
    "EXIT_TERMINATED",
    "EXIT_USER_EXCEPTION",
    "EXIT_VALUE",
    "INLINE_BYTES",
    "JOB_NAME_PREFIX",
    "KEY_PREFIX",
    "MAGIC",
    "MAX_ATTEMPTS",
    "MAX_CHUNKS",
    "MAX_OUTCOME_BYTES",
    "OUTCOME_SECTIONS",
    "PACK_MAGIC",
    "PACK_PREAMBLE_BYTES",
    "PREAMBLE_BYTES",
    "RUNTIME_COMMAND",
    "SECTION_OBJECT_STRING",
    "SECTION_STDERR",
    "SECTION_STDOUT",
    "SECTION_VALUE",
    "Chunk",
    "Container",
    "Detached",
    "EnvelopeError",
    "Failure",
    "ForeignEnvelopeError",
    "Hook",
    "Input",
    "JobName",
    "Outcome",
    "OutcomeStatus",
    "Payload",
    "Section",
    "Task",
    "attempt_of",
    "chunk_bytes_of",
    "claim_key",
    "claim_prefix",
    "detached_key",
    "detached_prefix",
    "dispatch_prefix",
    "entries_range",
    "function_key",
    "group_of_pack",
    "header_length",
    "input_key",
    "input_prefix",
    "job_name",
    "outcome_key",
    "outcome_of",
    "outcome_prefix",
    "outcomes_prefix",
    "pack_header",
    "pack_key",
    "pack_outcome",
    "pack_prefix",
    "pack_size",
    "pack_start",
    "parse_entries",
    "parse_header",
    "parse_outcome",
    "run_of",
    "rung_of",
    "rung_of_pack",
]
