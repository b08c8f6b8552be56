"""The key that tells this machine's outcomes from others."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from covalent_awsbatch_plugin import origin
from covalent_awsbatch_plugin.errors import SetupError
from covalent_awsbatch_plugin.settings import Settings

PROCESSES = 6
DIRECTORIES = 40

PRINT_KEYS = """
import asyncio, sys
from covalent_awsbatch_plugin import origin
from covalent_awsbatch_plugin.settings import Settings

async def keys(cache_dirs):
    return [(await origin.dispatch_key(Settings(cache_dir=each), "d")).hex() for each in cache_dirs]

print("ready", flush=True)
sys.stdin.readline()
print(asyncio.run(keys(sys.argv[1:])))
"""


def key_of(cache_dir: Path, dispatch_id: str = "d") -> bytes:
    return asyncio.run(origin.dispatch_key(Settings(cache_dir=str(cache_dir)), dispatch_id))


def test_all_processes_of_a_machine_agree_though_they_begin_at_once(tmp_path: Path):
    directories = [tmp_path / str(number) for number in range(DIRECTORIES)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PRINT_KEYS, *map(str, directories)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    for each in processes:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in processes:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    found = {each.communicate(timeout=60)[0] for each in processes}
    assert found == {f"{[key_of(each).hex() for each in directories]}\n"}
    assert {each.name for directory in directories for each in directory.iterdir()} == {origin.FILE_NAME}


def test_only_its_owner_may_read_it(tmp_path: Path):
    key_of(tmp_path)
    file = tmp_path / origin.FILE_NAME
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_bytes()) == 32


def test_each_dispatch_has_its_own_and_none_is_the_machines(tmp_path: Path):
    keys = {key_of(tmp_path, each) for each in ("a", "b", "a")}
    assert len(keys) == 2
    assert (tmp_path / origin.FILE_NAME).read_bytes() not in keys


def test_machines_differ(tmp_path: Path):
    assert key_of(tmp_path / "one") != key_of(tmp_path / "other")


def test_it_is_in_the_cache_directory_of_whoever_names_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert origin.key_path(Settings()) == tmp_path / "covalent" / "awsbatch" / "origin.key"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert origin.key_path(Settings()) == tmp_path / ".cache" / "covalent" / "awsbatch" / "origin.key"


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33])
def test_a_damaged_one_is_never_used(tmp_path: Path, content: bytes):
    (tmp_path / origin.FILE_NAME).write_bytes(content)
    with pytest.raises(SetupError, match=f"has {len(content)} bytes, not 32: it is damaged. Delete the file"):
        key_of(tmp_path)
    assert (tmp_path / origin.FILE_NAME).read_bytes() == content


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match=r"file/cache/origin.key.* cannot be read or made: Not a directory"):
        key_of(tmp_path / "file" / "cache")
