"""A user's exception travels as itself where it can, and what it did is told whether it can or not."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from covalent_awsbatch_plugin.contract import EXIT_USER_EXCEPTION, OutcomeStatus

from .conftest import wait_until


class PlainError(Exception):
    pass


class CodedError(Exception):
    def __init__(self, code, reason):
        super().__init__(f"{reason} ({code})")


class PrefixedError(Exception):
    def __init__(self, reason):
        super().__init__(f"failed: {reason}")


class AccumulatingError(Exception):
    def __init__(self, reason):
        self.reason = f"{reason} more"

    def __reduce__(self):
        return type(self), (self.reason,)

    def __str__(self):
        return self.reason


class CarefulError(Exception):
    def __init__(self, code, reason):
        super().__init__(code, reason)
        self.code = code
        self.notes = ["attribute"]


def _raised(jobs, raise_it):
    """Return the outcome of a function that raises, and assert that its failure is told."""
    job = jobs.call(raise_it)
    assert job.exit_code == EXIT_USER_EXCEPTION, job.stderr
    assert job.only.status is OutcomeStatus.EXCEPTION
    assert f"in {raise_it.__name__}" in job.only.failure.traceback
    assert job.only.stderr == job.only.failure.traceback
    return job.only


def _assert_only_told(left, name, text):
    assert left.sections["value"] == b""
    assert left.failure.type.endswith(name)
    assert text in left.failure.message


def test_exception_arrives_with_what_it_holds(jobs):
    def fail():
        raise CarefulError(7, "no such thing")

    error = _raised(jobs, fail).value
    assert type(error) is CarefulError
    assert (error.args, error.code, error.notes) == ((7, "no such thing"), 7, ["attribute"])
    assert error.__traceback__ is None


def test_exception_of_a_class_that_only_the_task_knows(jobs):
    def fail():
        class InnerError(KeyError):
            pass

        raise InnerError("missing")

    error = _raised(jobs, fail).value
    assert isinstance(error, KeyError)
    assert (type(error).__name__, error.args) == ("InnerError", ("missing",))


def test_exception_of_the_operating_system(jobs):
    def fail():
        os.stat("/no/such/file")

    error = _raised(jobs, fail).value
    assert type(error) is FileNotFoundError
    assert error.filename == "/no/such/file"


def test_text_that_an_exception_words_itself_is_worded_once(jobs):
    def fail():
        raise PrefixedError("once")

    error = _raised(jobs, fail).value
    assert (type(error), str(error), error.args) == (PrefixedError, "failed: once", ("failed: once",))


def test_exception_whose_text_has_an_address(jobs):
    def fail():
        raise PlainError(object())

    assert "<object object at 0x" in str(_raised(jobs, fail).value)


def test_chain_arrives_too(jobs):
    def fail():
        try:
            try:
                1 / 0  # noqa: B018 - it is to fail
            except ZeroDivisionError:
                raise KeyError("context")  # noqa: B904 - a context, not a cause
        except KeyError as error:
            raise PlainError("gave up") from error

    error = _raised(jobs, fail).value
    assert repr(error.__cause__) == "KeyError('context')"
    assert error.__suppress_context__ is True
    context = error.__cause__.__context__
    assert type(context) is ZeroDivisionError
    assert error.__cause__.__suppress_context__ is False
    assert {each.__traceback__ for each in (error, error.__cause__, context)} == {None}
    assert vars(error) == {}


def test_context_that_was_suppressed_stays_so(jobs):
    def fail():
        try:
            raise KeyError("hidden")
        except KeyError:
            raise PlainError("shown") from None

    error = _raised(jobs, fail).value
    assert error.__cause__ is None
    assert error.__suppress_context__ is True


def test_exception_travels_alone_where_its_cause_cannot(jobs):
    def fail():
        try:
            raise CodedError(7, "cause")
        except CodedError as error:
            raise PlainError("alone") from error

    left = _raised(jobs, fail)
    assert repr(left.value) == "PlainError('alone')"
    assert left.value.__cause__ is None
    assert "The above exception was the direct cause" in left.failure.traceback


def test_exceptions_that_know_each_other(jobs):
    def fail():
        error, other = PlainError("one"), PlainError("other")
        error.other, other.other = other, error
        raise error

    error = _raised(jobs, fail).value
    assert error.other.other is error


@pytest.mark.parametrize(
    ("make", "name", "text"),
    [
        (lambda: CodedError(7, "no such thing"), "CodedError", "no such thing (7)"),
        (lambda: AccumulatingError("once"), "AccumulatingError", "once more"),
        (lambda: PlainError("holds", sys._getframe()), "PlainError", "holds"),
    ],
    ids=["other parameters", "text that would be worded twice", "holds what cannot be pickled"],
)
def test_exception_that_would_not_arrive_as_it_was_is_only_told(jobs, make, name, text):
    def fail():
        raise make()

    _assert_only_told(_raised(jobs, fail), name, text)


def test_exception_that_opens_as_another_type_is_only_told(jobs):
    class ChangelingError(Exception):
        def __reduce__(self):
            return ValueError, self.args

    def fail():
        raise ChangelingError("text")

    _assert_only_told(_raised(jobs, fail), "ChangelingError", "text")


@pytest.mark.parametrize(("size_bytes", "travels"), [(900_000, True), (2**20, False), (300 * 2**20, False)])
def test_only_exceptions_of_less_than_a_mebibyte_travel(jobs, size_bytes, travels):
    def fail():
        error = PlainError("holds much")
        error.data = bytes(size_bytes)
        raise error

    left = _raised(jobs, fail)
    assert left.failure.message == "holds much"
    assert (len(left.sections["value"]) > size_bytes) is travels
    assert travels or left.sections["value"] == b""


def _misbehaving(reduce):
    class MisbehavingError(Exception):
        def __reduce__(self):
            return reduce()

    return MisbehavingError


def _print_and_fail():
    print("not to be seen")
    print("nor this", file=sys.stderr, flush=True)
    raise RuntimeError("from __reduce__")


@pytest.mark.parametrize(
    "reduce",
    [
        _print_and_fail,
        lambda: "nonsense",
        lambda: sys.exit(3),
        lambda: os._exit(0),
        lambda: os.abort(),
        lambda: os.kill(os.getpid(), signal.SIGKILL),
        lambda: (time.sleep, (3600,)),
        lambda: (sys.exit, ()),
    ],
    ids=[
        "raises",
        "no tuple",
        "exits",
        "_exit",
        "crashes",
        "is killed",
        "hangs when opened",
        "exits when opened",
    ],
)
def test_pickling_that_misbehaves_is_not_noticed(jobs, reduce):
    error_type = _misbehaving(reduce)

    def fail():
        raise error_type("the text")

    left = _raised(jobs, fail)
    _assert_only_told(left, "MisbehavingError", "the text")
    assert left.stdout == ""


def test_sigterm_while_an_exception_is_pickled_leaves_its_traceback(jobs, tmp_path):
    marker = tmp_path / "marker"

    def reduce():
        marker.touch()
        time.sleep(1)

    error_type = _misbehaving(reduce)

    def fail():
        raise error_type("the text")

    draft = jobs.draft()
    draft.task(fail)
    process = jobs.start(draft)
    wait_until(marker.exists)
    process.send_signal(signal.SIGTERM)
    job = jobs.finish(draft, process)
    assert job.only.status is OutcomeStatus.TERMINATED
    assert job.only.failure.traceback.endswith("MisbehavingError: the text\n")
    assert job.only.sections["value"] == b""


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_what_ends_a_program_does_not_travel(jobs, error):
    def fail():
        raise error

    assert _raised(jobs, fail).sections["value"] == b""


def test_crash_after_an_exception_was_handled_has_none(jobs):
    def crash():
        try:
            raise PlainError("handled")
        except PlainError:
            os._exit(1)

    assert jobs.call(crash).only.sections["value"] == b""


def test_fault_of_the_runtimes_own_has_none(jobs):
    def make():
        return sys._getframe()

    left = jobs.call(make).only
    assert left.status is OutcomeStatus.EXCEPTION
    assert "cannot be pickled" in left.failure.message
    assert left.sections["value"] == b""


def test_exception_in_the_middle_of_a_group_travels(jobs):
    def fail():
        raise PlainError("in the middle")

    draft = jobs.draft()
    for each in (lambda: 1, fail, lambda: 3):
        draft.task(each)
    job = jobs.run(draft)
    assert repr(job.outcomes[1].value) == "PlainError('in the middle')"
    assert job.outcomes[2].sections["value"] == b""


def test_exception_of_a_function_that_used_up_its_descriptors(jobs):
    def fail():
        import resource

        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        raise PlainError("too many open files")

    job = jobs.call(fail)
    assert job.only.failure.message == "too many open files"
