"""`[executors.awsbatch]` is revised in place: what is not ours stays, to the letter."""

from __future__ import annotations

import fcntl
import os
import stat
import string
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import toml
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from covalent_awsbatch_plugin import configuration
from covalent_awsbatch_plugin.configuration import tomllib
from covalent_awsbatch_plugin.errors import SettingsError
from covalent_awsbatch_plugin.infra.configuration_file import Revision, revised, write

OURS = {"batch_queue": "stack-on-demand", "s3_bucket_name": "stack-bucket"}

KEYS = st.text(string.ascii_lowercase + "_", min_size=1, max_size=8)
TEXTS = st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" "), max_size=12)
"""What can be printed: Covalent's own `toml` does not write the rest as it should."""

VALUES = st.one_of(
    TEXTS,
    st.integers(-(2**53), 2**53),
    st.booleans(),
    st.lists(TEXTS, max_size=3),
)
SECTIONS = st.dictionaries(KEYS, st.one_of(VALUES, st.dictionaries(KEYS, VALUES, max_size=3)), max_size=4)


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    """Make up a configuration, with or without our section, and keys of the user's in it."""
    content: dict[str, Any] = draw(st.dictionaries(KEYS, st.one_of(VALUES, SECTIONS), max_size=4))
    if draw(st.booleans()):
        content["executors"] = draw(st.dictionaries(KEYS, SECTIONS, max_size=3))
        if draw(st.booleans()):
            some = draw(SECTIONS)
            known = draw(st.dictionaries(st.sampled_from(sorted(OURS)), TEXTS))
            content["executors"]["awsbatch"] = {**some, **known}
    return content


def section_of(content: dict[str, Any]) -> dict[str, Any]:
    return dict(content.get("executors", {}).get("awsbatch", {}))


def without_section(content: dict[str, Any]) -> dict[str, Any]:
    """Return all but our section; an empty list of executors says nothing."""
    executors = {name: value for name, value in content.get("executors", {}).items() if name != "awsbatch"}
    rest = {name: value for name, value in content.items() if name != "executors"}
    return {**rest, **({"executors": executors} if executors else {})}


@given(configurations(), st.sampled_from([toml.dumps, tomlkit.dumps]))
def test_whatever_else_is_there_survives(content, dumps):
    """Covalent itself writes the file with `toml`, people and other tools as they like."""
    after = tomllib.loads(revised(dumps(content), Revision(OURS, {})))
    assert section_of(after) == {**section_of(content), **OURS}
    assert without_section(after) == without_section(content)


@given(configurations())
def test_what_was_written_goes_without_a_trace(content):
    there = revised(tomlkit.dumps(content), Revision(OURS, {}))
    gone = tomllib.loads(revised(there, Revision({}, OURS)))
    users = {key: value for key, value in section_of(content).items() if key not in OURS}
    assert section_of(gone) == users
    assert without_section(gone) == without_section(content)


@given(configurations())
def test_a_second_time_changes_nothing(content):
    once = revised(tomlkit.dumps(content), Revision(OURS, {}))
    assert revised(once, Revision(OURS, {})) == once


def test_comments_and_order_stay_to_the_letter():
    text = """\
# of mine
[dispatcher]   # the server
port = 48008

[executors.local]
log_stdout = "stdout.log"

# what I use
[executors.awsbatch]
memory = 8   # for the large ones
batch_queue = "old"  # the queue
vcpu = 4

[sdk]
log_level = 'info'

[executors.dask]
log_stdout = "stdout.log"
"""
    expected = text.replace('"old"', '"stack-on-demand"').replace(
        "vcpu = 4\n", 'vcpu = 4\ns3_bucket_name = "stack-bucket"\n'
    )
    assert revised(text, Revision(OURS, {})) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "executors = {local = {a = 1}}\n",
        "executors = {awsbatch = {vcpu = 1}}\n",
        "executors.awsbatch.vcpu = 2\n[sdk]\na = 1\n",
        "[executors]\na = 1\n[sdk]\na = 1\n",
        '[executors.awsbatch.environment]\nA = "1"\n[sdk]\na = 1\n',
        "[executors.awsbatch]\nvcpu = 2\n[sdk]\na = 1\n[executors.awsbatch.environment]\nA = '1'\n",
    ],
)
def test_any_way_to_write_the_section_will_do(text):
    content = tomllib.loads(text)
    after = tomllib.loads(revised(text, Revision(OURS, {})))
    assert section_of(after) == {**section_of(content), **OURS}
    assert without_section(after) == without_section(content)


def test_what_the_user_has_changed_since_stays():
    text = '[executors.awsbatch]\nbatch_queue = "mine"\ns3_bucket_name = "stack-bucket"\n'
    assert revised(text, Revision({}, OURS)) == '[executors.awsbatch]\nbatch_queue = "mine"\n'


def test_what_is_no_output_any_more_goes_if_it_was_one():
    text = '[executors.awsbatch]\nbatch_queue = "stack-on-demand"\ns3_bucket_name = "mine"\nvcpu = 1\n'
    after = revised(text, Revision({"batch_queue": "stack-fargate"}, OURS))
    assert after == '[executors.awsbatch]\nbatch_queue = "stack-fargate"\ns3_bucket_name = "mine"\nvcpu = 1\n'


@pytest.fixture
def directory(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("COVALENT_CONFIG_DIR", str(tmp_path / "covalent"))
    return tmp_path / "covalent"


COVALENT = """
import sys
import covalent as ct
from covalent.executor import _executor_manager
print("ready", flush=True)
sys.stdin.readline()
print(_executor_manager.get_executor("awsbatch").batch_queue)
"""
"""Covalent, which has read its configuration, and then looks for the executor of a task."""


def test_a_configuration_is_made_where_there_is_none_and_a_covalent_that_runs_takes_it(directory):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", COVALENT], **pipes) as covalent:
        assert covalent.stdout.readline() == "ready\n"
        (directory / "covalent.conf").unlink()  # as Covalent has made it
        assert write(Revision(OURS, {})) == directory / "covalent.conf"
        told, _ = covalent.communicate("\n", timeout=60)
    assert told.splitlines()[-1:] == ["stack-on-demand"]
    assert configuration.configured()["s3_bucket_name"] == "stack-bucket"


def test_the_diff_shows_the_section_and_nothing_else(directory):
    directory.mkdir()
    (directory / "covalent.conf").write_text('[sdk]\nkey = "1"\n[executors.awsbatch]\nvcpu = 4\n')
    assert Revision(OURS, {}).diff[2:] == [
        "@@ -1,2 +1,4 @@",
        " [executors.awsbatch]",
        " vcpu = 4",
        '+batch_queue = "stack-on-demand"',
        '+s3_bucket_name = "stack-bucket"',
    ]
    assert Revision({}, OURS).diff == []


def test_rights_and_links_stay(directory, tmp_path):
    directory.mkdir()
    real = tmp_path / "dotfiles.conf"
    real.write_text("")
    real.chmod(0o640)
    (directory / "covalent.conf").symlink_to(real)
    write(Revision(OURS, {}))
    assert (directory / "covalent.conf").is_symlink()
    assert tomllib.loads(real.read_text())["executors"]["awsbatch"] == OURS
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert {each.name for each in directory.iterdir()} <= {"covalent.conf", "covalent.conf.lock"}


def test_it_waits_for_whoever_has_covalents_lock_and_sees_what_was_written_meanwhile(directory):
    directory.mkdir()
    path = directory / "covalent.conf"
    path.write_text("[sdk]\na = 1\n")
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    writer = threading.Thread(target=write, args=(Revision(OURS, {}),))
    writer.start()
    path.write_text("[sdk]\na = 2\n")
    os.close(lock)
    writer.join()
    content = tomllib.loads(path.read_text())
    assert (content["sdk"], section_of(content)) == ({"a": 2}, OURS)


def test_what_is_no_toml_is_not_touched(directory):
    directory.mkdir()
    (directory / "covalent.conf").write_text("[sdk\n")
    with pytest.raises(SettingsError, match="cannot be read"):
        write(Revision(OURS, {}))
    assert (directory / "covalent.conf").read_text() == "[sdk\n"
