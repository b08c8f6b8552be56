from __future__ import annotations

import contextlib
import os

from hypothesis import given
from hypothesis import strategies as st

from covalent_awsbatch_plugin.runtime.capture import Stream, Tail

from .conftest import wait_until


@given(st.lists(st.binary(max_size=40)), st.integers(min_value=0, max_value=300))
def test_tail_that_fits_is_whole(chunks, spare):
    data = b"".join(chunks)
    tail = Tail(len(data) + spare)
    for chunk in chunks:
        tail.append(chunk)
    assert tail.text() == data.decode("utf-8", "replace")


@given(st.text(min_size=1, max_size=400), st.data())
def test_tail_that_is_cut_ends_as_the_stream_did_and_counts_right(text, data):
    encoded = text.encode("utf-8", "replace")
    text = encoded.decode()
    limit_bytes = data.draw(st.integers(min_value=4, max_value=max(4, len(encoded))))
    chunk_bytes = data.draw(st.integers(min_value=1, max_value=50))
    tail = Tail(limit_bytes)
    for start in range(0, len(encoded), chunk_bytes):
        tail.append(encoded[start : start + chunk_bytes])
    shown = tail.text()
    if len(encoded) <= limit_bytes:
        assert shown == text
        return
    note, _, kept = shown.partition("\n")
    assert text.endswith(kept)
    assert limit_bytes - 3 <= len(kept.encode()) <= limit_bytes
    assert note == f"[the first {len(encoded) - len(kept.encode())} bytes were cut; the job's log has them]"


def test_take_has_all_that_was_written_before_and_begins_anew():
    read_fd, write_fd = os.pipe()
    live_read_fd, live_write_fd = os.pipe()
    stream = Stream(read_fd, live_write_fd)
    for number in range(200):
        os.write(write_fd, b"%d\n" % number)
        assert stream.take() == f"{number}\n"
    assert stream.take() == ""
    live = b""
    while not live.endswith(b"199\n"):
        live += os.read(live_read_fd, 4096)
    assert live == b"".join(b"%d\n" % number for number in range(200))


def test_stream_goes_on_when_nobody_reads_the_live_end():
    read_fd, write_fd = os.pipe()
    live_read_fd, live_write_fd = os.pipe()
    os.close(live_read_fd)
    stream = Stream(read_fd, live_write_fd)
    os.write(write_fd, b"kept\n")
    text = stream.take()
    assert text.startswith("kept\n")
    assert "the job's log has nothing" in text
    os.write(write_fd, b"kept too\n")
    wait_until(lambda: stream.take() == "kept too\n")


def test_live_end_that_is_full_holds_the_stream_back_without_loss():
    read_fd, write_fd = os.pipe()
    live_read_fd, live_write_fd = os.pipe()
    os.set_blocking(live_write_fd, False)
    stream = Stream(read_fd, live_write_fd)
    data = bytes(range(256)) * 1024
    written = read = b""
    os.set_blocking(write_fd, False)
    while len(read) < len(data):
        with contextlib.suppress(BlockingIOError):
            written += data[len(written) : len(written) + os.write(write_fd, data[len(written) :])]
        read += os.read(live_read_fd, 65536)
    assert read == data
    assert stream.take() == data.decode("utf-8", "replace")
