"""Start an AWS in memory and print, as one line of JSON, where it is and the plugin's settings for it."""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import json
import signal
from functools import partial
from typing import cast

import uvloop

from covalent_awsbatch_plugin.local.jobs import Account

from .app import NAME, App
from .container import Container
from .http import Connection

GC_THRESHOLD = 200_000
"""A hundred thousand records that live on are not worth being looked through at every step."""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.in_memory_aws", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--latency-ms", type=float, default=30, help="of every call")
    parser.add_argument("--job-s", type=float, default=1, help="how long every job takes")
    parser.add_argument("--throttle", action="store_true", help="refuse calls beyond AWS Batch's rates")
    parser.add_argument(
        "--container",
        default="benchmarks.in_memory_aws.container:run",
        help="what a job does, as module:function",
    )
    return parser.parse_args()


def _container(reference: str) -> Container:
    module, _, name = reference.partition(":")
    return cast(Container, getattr(importlib.import_module(module), name))


async def _serve(options: argparse.Namespace) -> None:
    account = Account()
    app = App(account, _container(options.container), options.job_s, options.throttle)
    loop = asyncio.get_running_loop()
    connect = partial(Connection, app.answer, options.latency_ms / 1000)
    server = await loop.create_server(connect, "127.0.0.1", options.port, backlog=4096)
    endpoint_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    settings = {
        "endpoint_url": endpoint_url,
        "region": account.region,
        "s3_bucket_name": NAME,
        "batch_queue": NAME,
        "container_image_uri": "benchmark:1",
    }
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)
    print(json.dumps({"endpoint_url": endpoint_url, "settings": settings}), flush=True)
    await stop.wait()
    server.close()


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    gc.set_threshold(GC_THRESHOLD, 50, 50)
    gc.freeze()
    uvloop.run(_serve(_options()))


if __name__ == "__main__":
    main()
