from __future__ import annotations

import base64
import io
import json
import tarfile
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.contract import EXIT_USER_EXCEPTION, EXIT_VALUE, OutcomeStatus
from tests.wheels import write_wheel


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    """Covalent, with its configuration in a directory of the test's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVALENT_CONFIG_DIR", str(tmp_path_factory.mktemp("covalent")))
        import covalent

        yield covalent


def _run_with_hooks(jobs, draft, function, *, args=(), kwargs=None, before=(), after=(), **environment):
    draft.task_with(function, args, kwargs, call_before=list(before), call_after=list(after))
    return jobs.run(draft, **environment)


def test_hooks_give_keywords_as_covalent_does(jobs, ct):
    draft = jobs.draft()
    before = [
        draft.covalent_hook(
            ct.DepsCall(lambda x, y=0: x + y, args=[1], kwargs={"y": 2}, retval_keyword="once")
        ),
        draft.covalent_hook(ct.DepsCall(lambda: "a", retval_keyword="twice")),
        draft.covalent_hook(ct.DepsCall(lambda: None, retval_keyword="twice")),
        draft.covalent_hook(ct.DepsCall(lambda: "unheard")),
        draft.hook(lambda: "one file", retval_keyword="files"),
    ]

    def work(given, **keywords):
        return given, keywords

    job = _run_with_hooks(jobs, draft, work, args=["given"], kwargs={"once": "overwritten"}, before=before)
    assert job.exit_code == EXIT_VALUE, job.stderr
    assert job.only.value == ("given", {"once": 3, "twice": ["a", None], "files": ["one file"]})


def test_hooks_run_around_the_function_in_order(jobs, ct):
    draft = jobs.draft()
    before = [draft.covalent_hook(ct.DepsCall(print, args=[f"before {i}"])) for i in range(2)]
    after = [draft.covalent_hook(ct.DepsCall(print, args=[f"after {i}"])) for i in range(2)]
    job = _run_with_hooks(jobs, draft, lambda: print("function"), before=before, after=after)
    assert job.only.stdout == "before 0\nbefore 1\nfunction\nafter 0\nafter 1\n"


def test_function_is_unpickled_only_after_the_hooks(jobs, tmp_path):
    """What a hook installs is there when the function's pickle asks for it."""
    draft = jobs.draft()
    home = tmp_path / "late_modules"

    def install():
        home.mkdir()
        (home / "came_late.py").write_text("def work():\n    return 'from the late module'\n")
        import sys

        sys.path.insert(0, str(home))

    draft.task_with(None, pickled=b"\x80\x04ccame_late\nwork\n.", call_before=[draft.hook(install)])
    job = jobs.run(draft)
    assert job.only.status is OutcomeStatus.VALUE, job.stderr
    assert job.only.value == "from the late module"


@pytest.mark.parametrize("position", ["call_before", "call_after"])
def test_hook_that_fails_is_the_users_exception(jobs, position):
    def fail():
        raise ValueError("in the hook")

    draft = jobs.draft()
    draft.task_with(lambda: print("function"), **{position: [draft.hook(fail)]})
    job = jobs.run(draft)
    assert job.exit_code == EXIT_USER_EXCEPTION
    assert (job.only.failure.type, job.only.failure.message) == ("ValueError", "in the hook")
    assert job.only.stdout == ("" if position == "call_before" else "function\n")


def test_bash(jobs, ct, tmp_path):
    draft = jobs.draft()
    hook = draft.covalent_hook(ct.DepsBash([f"echo from bash > {tmp_path}/note"]))
    path = tmp_path / "note"
    job = _run_with_hooks(jobs, draft, lambda: path.read_text(), before=[hook])
    assert job.only.value == "from bash\n", job.stderr


def test_bash_that_fails_shows_its_last_lines(jobs, ct):
    draft = jobs.draft()
    hook = draft.covalent_hook(ct.DepsBash(["echo the reason >&2; exit 7"]))
    job = _run_with_hooks(jobs, draft, lambda: None, before=[hook])
    assert job.exit_code == EXIT_USER_EXCEPTION
    assert job.only.failure.type == "subprocess.CalledProcessError"
    assert "exit status 7" in job.only.failure.message
    assert job.only.failure.message.endswith("the reason")
    assert "the reason" in job.only.stderr


@pytest.fixture
def offline_pip(jobs, tmp_path):
    """Let pip find only the tiny wheel, and install into a directory of the path that is not there yet."""
    write_wheel(tmp_path / "wheels")
    target = tmp_path / "target"
    jobs.environment.update(
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS=str(tmp_path / "wheels"),
        PIP_TARGET=str(target),
        PIP_DISABLE_PIP_VERSION_CHECK="1",
        PYTHONPATH=f"{jobs.environment['PYTHONPATH']}:{target}",
    )


@pytest.mark.usefixtures("offline_pip")
def test_pip(jobs, ct):
    def work():
        import tiny_late

        return tiny_late.ANSWER

    def look():
        try:
            import tiny_late  # noqa: F401
        except ImportError:
            print("not yet")

    draft = jobs.draft()
    before = [draft.hook(look), draft.covalent_hook(ct.DepsPip(["tiny-late"]))]
    job = _run_with_hooks(jobs, draft, work, before=before)
    assert job.only.stdout == "not yet\n"
    assert job.only.value == 42, job.stderr


@pytest.mark.usefixtures("offline_pip")
def test_pip_that_fails_shows_pips_own_last_lines(jobs, ct):
    draft = jobs.draft()
    hook = draft.covalent_hook(ct.DepsPip(["no-such-package-here"]))
    job = _run_with_hooks(jobs, draft, lambda: None, before=[hook])
    assert job.exit_code == EXIT_USER_EXCEPTION
    for text in (job.only.failure.message, job.only.failure.traceback, job.only.stderr, job.stderr):
        assert "No matching distribution found for no-such-package-here" in text


def test_file_transfers_before_and_after(jobs, ct, tmp_path):
    (tmp_path / "source").write_text("content")
    order = ct.fs.Order
    incoming = ct.fs.FileTransfer(str(tmp_path / "source"), str(tmp_path / "in" / "copy"), order=order.BEFORE)
    outgoing = ct.fs.FileTransfer(str(tmp_path / "made"), str(tmp_path / "out" / "copy"), order=order.AFTER)

    def work(files):
        (_from_in, to_in), (from_out, _to_out) = files
        Path(from_out).write_text(Path(to_in).read_text().upper())
        return len(files)

    decorated = ct.electron(work, files=[incoming, outgoing])
    draft = jobs.draft()
    hooks = {
        name: [
            draft.covalent_hook(ct.DepsCall().from_dict(each))
            for each in decorated.electron_object.metadata["hooks"][name]
        ]
        for name in ("call_before", "call_after")
    }
    draft.task_with(work, **hooks)
    job = jobs.run(draft)
    assert job.only.value == 2, job.stderr
    assert (tmp_path / "in" / "copy").read_text() == "content"
    assert (tmp_path / "out" / "copy").read_text() == "CONTENT"


def test_sublattice_is_built_and_its_archive_is_the_object_string(jobs, ct):
    from covalent._workflow.electron import _build_sublattice_graph

    @ct.electron
    def double(x):
        return 2 * x

    @ct.lattice
    def sub(x):
        return double(x)

    metadata = {"executor": "local", "executor_data": {}, "workflow_executor": "local"}
    metadata |= {"workflow_executor_data": {}, "hooks": {}, "triggers": None, "qelectron_data_exists": False}
    draft = jobs.draft()
    draft.task(_build_sublattice_graph, sub, json.dumps({**sub.metadata, **metadata}), 21)
    job = jobs.run(draft)
    assert job.only.status is OutcomeStatus.VALUE, job.stderr
    assert job.only.object_string == job.only.value
    archive = io.BytesIO(base64.b64decode(job.only.object_string))
    with tarfile.open(fileobj=archive) as files:
        assert any(name.endswith("manifest.json") for name in files.getnames())
