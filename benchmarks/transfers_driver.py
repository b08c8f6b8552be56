"""One measurement's driver for `benchmarks.transfers`; prints one line of JSON.

    python -m benchmarks.transfers_driver KIND SETTINGS

What is written is made before the clock starts, and what was read is compared after it has stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import pickle
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from benchmarks.own_process import peak_memory_mb

OBJECTS = 1000
OBJECT_BYTES = 1024
AT_ONCE = 64
LARGE_BYTES = 1 << 30

Figures = dict[str, float]
Transfer = Callable[[int], Awaitable[Any]]


def content(number: int) -> bytes:
    """Return what an object holds; no two are alike."""
    return number.to_bytes(8, "big") * (OBJECT_BYTES // 8)


async def _timed(transfer: Transfer) -> tuple[list[Any], float, float]:
    """Transfer all objects, some at a time; return what came of it, and wall and CPU seconds."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> Any:
        async with turns:
            return await transfer(number)

    began_s, began_cpu_s = time.monotonic(), time.process_time()
    results = await asyncio.gather(*(one(number) for number in range(OBJECTS)))
    return results, time.monotonic() - began_s, time.process_time() - began_cpu_s


async def _small(put: Transfer, get: Transfer) -> Figures:
    await put(0)  # connecting, and whatever a client does once, is not what an object costs
    _, put_s, put_cpu_s = await _timed(put)
    found, get_s, get_cpu_s = await _timed(get)
    wrong = sum(data != content(number) for number, data in enumerate(found))
    return {
        "put_s": put_s,
        "put_cpu_s": put_cpu_s,
        "get_s": get_s,
        "get_cpu_s": get_cpu_s,
        "wrong": wrong,
        "peak_mb": peak_memory_mb(),
    }


def _store(settings: dict[str, Any]) -> Any:
    from obstore.store import S3Store

    return S3Store(
        settings["s3_bucket_name"],
        endpoint=settings["endpoint_url"],
        region=settings["region"],
        client_options={"allow_http": True},
    )


async def small_with_obstore(settings: dict[str, Any]) -> Figures:
    """Write and read many small objects with obstore."""
    import obstore

    store = _store(settings)

    async def put(number: int) -> None:
        await obstore.put_async(store, f"obstore/{number}", content(number), use_multipart=False)

    async def get(number: int) -> bytes:
        return bytes(await (await obstore.get_async(store, f"obstore/{number}")).bytes_async())

    return await _small(put, get)


async def small_with_aiobotocore(settings: dict[str, Any]) -> Figures:
    """Write and read many small objects with aiobotocore."""
    from aiobotocore.config import AioConfig
    from aiobotocore.session import AioSession

    bucket = settings["s3_bucket_name"]
    client = AioSession().create_client(
        "s3",
        region_name=settings["region"],
        endpoint_url=settings["endpoint_url"],
        config=AioConfig(max_pool_connections=AT_ONCE),
    )
    async with client as s3:

        async def put(number: int) -> None:
            await s3.put_object(Bucket=bucket, Key=f"aiobotocore/{number}", Body=content(number))

        async def get(number: int) -> Any:
            answer = await s3.get_object(Bucket=bucket, Key=f"aiobotocore/{number}")
            async with answer["Body"] as body:
                return await body.read()

        return await _small(put, get)


def _large_array() -> Any:
    import numpy as np

    return np.arange(LARGE_BYTES // 8)


async def large_with_obstore(settings: dict[str, Any]) -> Figures:
    """Write and read, with obstore itself, the bytes that the client moves for the large array."""
    import cloudpickle
    import obstore

    store, data = _store(settings), cloudpickle.dumps(_large_array())
    began_s = time.monotonic()
    await obstore.put_async(store, "large", data)
    put_s = time.monotonic() - began_s
    began_s = time.monotonic()
    found = await (await obstore.get_async(store, "large")).bytes_async()
    get_s = time.monotonic() - began_s
    value = pickle.loads(found)
    value_s = time.monotonic() - began_s
    wrong = float(memoryview(found) != memoryview(data) or len(value) != LARGE_BYTES // 8)
    return {"put_s": put_s, "get_s": get_s, "value_s": value_s, "wrong": wrong}


def large_argument(settings: dict[str, Any]) -> Figures:
    """Give a function a large array, through the client."""
    from covalent_awsbatch_plugin.client import AWSBatch

    def last(data: Any) -> int:
        return int(data[-1])

    return _large(AWSBatch(**settings), last, _large_array(), LARGE_BYTES // 8 - 1)


def large_result(settings: dict[str, Any]) -> Figures:
    """Have a function return a large array, through the client."""
    from covalent_awsbatch_plugin.client import AWSBatch

    def count(size: int) -> Any:
        import numpy

        return numpy.arange(size)

    return _large(AWSBatch(**settings), count, LARGE_BYTES // 8, None)


def _large(client: Any, function: Callable[[Any], Any], argument: Any, expected: int | None) -> Figures:
    """Run one task; `expected` None stands for the large array."""
    with client as batch:
        batch.submit(lambda: None).result()  # clients, checks and definition are made by the first task
        small = batch.submit(lambda: None)
        small_began_s = time.monotonic()
        small.result()
        small_ended_s = time.monotonic()
        before_mb = peak_memory_mb()
        began_cpu_s = time.process_time()
        job = batch.submit(function, argument)
        began_s = time.monotonic()  # it is pickled by now, which obstore does not do
        value = job.result()
        ended_s, cpu_s = time.monotonic(), time.process_time() - began_cpu_s
        peak_mb = peak_memory_mb()
    is_right = (
        value == expected
        if expected is not None
        else len(value) == argument and int(value[-1]) == argument - 1
    )
    return {
        "small_began_s": small_began_s,
        "small_ended_s": small_ended_s,
        "began_s": began_s,
        "ended_s": ended_s,
        "cpu_s": cpu_s,
        # An argument was there before, a result was not.
        "above_mb": peak_mb - before_mb - (LARGE_BYTES / 1e6 if expected is None else 0),
        "wrong": 0.0 if is_right else 1.0,
    }


ASYNCHRONOUS: dict[str, Callable[[dict[str, Any]], Awaitable[Figures]]] = {
    "small-obstore": small_with_obstore,
    "small-aiobotocore": small_with_aiobotocore,
    "large-obstore": large_with_obstore,
}
SYNCHRONOUS: dict[str, Callable[[dict[str, Any]], Figures]] = {
    "large-argument": large_argument,
    "large-result": large_result,
}


def measure(kind: str, settings: dict[str, Any]) -> Figures:
    """Measure one kind of transfer."""
    if kind in SYNCHRONOUS:
        return SYNCHRONOUS[kind](settings)

    async def run() -> Figures:
        return await ASYNCHRONOUS[kind](settings)

    return uvloop.run(run())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=[*ASYNCHRONOUS, *SYNCHRONOUS])
    parser.add_argument("settings", type=json.loads)
    options = parser.parse_args()
    json.dump(measure(options.kind, options.settings), sys.stdout)


if __name__ == "__main__":
    main()
