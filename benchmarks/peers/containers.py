"""What the containers of others do, as their published packages say: whence the call, whereto the value."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping

import cloudpickle

from benchmarks import work
from benchmarks.in_memory_aws.container import Ended
from benchmarks.in_memory_aws.objects import Bucket, StoredObject

PICKLE_PROTOCOL = 4


def plugin(command: list[str], environment: Mapping[str, str], buckets: Mapping[str, Bucket]) -> Ended:
    """Run a job of covalent-awsbatch-plugin 0.42: one pickle has function and arguments, two objects tell."""
    bucket = buckets[environment["S3_BUCKET_NAME"]]
    result_key = environment["RESULT_FILENAME"]
    function, args, kwargs = pickle.loads(bucket[environment["COVALENT_TASK_FUNC_FILENAME"]].read())
    value = function(*args, **kwargs)
    stem = result_key.rpartition(".")[0].replace("result", "io_output")
    bucket.put(f"{stem}.json", StoredObject([json.dumps(["", "", None, None]).encode()]))
    bucket.put(result_key, StoredObject([cloudpickle.dumps(value)]))
    node_id = result_key.rpartition(".")[0].rpartition("-")[2]
    return Ended(0, [f"plugin/{node_id}"])


def redun(command: list[str], environment: Mapping[str, str], buckets: Mapping[str, Bucket]) -> Ended:
    """Run `redun oneshot`: its options name the pickle of the arguments and the place of the value.

    An array's child finds its own by its index, in lists of all.
    """
    source, target = (command[command.index(option) + 1] for option in ("--input", "--output"))
    args, kwargs = pickle.loads(_read(buckets, source))
    if "--array-job" in command:
        index = int(environment["AWS_BATCH_JOB_ARRAY_INDEX"])
        args, kwargs = args[index], kwargs[index]
        target = json.loads(_read(buckets, target))[index]
    value = work.function()(*args, **kwargs)
    bucket, key = _place(target)
    buckets[bucket].put(key, StoredObject([pickle.dumps(value, protocol=PICKLE_PROTOCOL)]))
    number = int.from_bytes(args[0][:8], "big")
    return Ended(0, [f"redun/{number}"])


def _read(buckets: Mapping[str, Bucket], uri: str) -> bytes:
    bucket, key = _place(uri)
    return buckets[bucket][key].read()


def _place(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
