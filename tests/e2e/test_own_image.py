"""An image of the user's own: the README's lines make a good one, and what one lacks is one sentence.

The engine keeps what is built here under `covalent-awsbatch-test`, so that it is built once.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import uuid
from pathlib import Path

import docker
import pytest
from covalent._shared_files.exceptions import TaskRuntimeError
from covalent._workflow.transportable_object import TransportableObject

from tests import docker_engine
from tests.e2e.surroundings import eventually
from tests.e2e.test_run import assembled, call, executor_for

PROJECT = Path(__file__).parents[2]
PACKAGED = ("setup.py", "pyproject.toml", "requirements.txt", "README.md")

BASE = f"""\
FROM {docker_engine.BASE_IMAGE}
ENV PIP_BREAK_SYSTEM_PACKAGES=1
RUN command -v python || ln -s python3 /usr/bin/python
"""
"""A Python that a user may install into; Debian's has no `python` and does not like pip."""

WITHOUT_RUNTIME = f"{BASE}RUN pip install cloudpickle obstore\n"
WITHOUT_CLOUDPICKLE = f"{BASE}RUN pip install obstore\nCOPY . /plugin\nENV PYTHONPATH=/plugin\n"
WITHOUT_OBSTORE = f"{BASE}RUN pip install cloudpickle\nCOPY . /plugin\nENV PYTHONPATH=/plugin\n"
WITHOUT_PYTHON = f'FROM {docker_engine.BASE_IMAGE}\nRUN rm -f "$(command -v python || echo /none)"\n'


def of_the_readme() -> str:
    """Return the README's Dockerfile on our base, without Covalent and the user's own packages."""
    text = (PROJECT / "README.md").read_text()
    from_line, *lines = re.findall(r"```Dockerfile\n(.*?)```", text, re.DOTALL)[0].splitlines()
    assert from_line.startswith("FROM python:3")
    return BASE + re.sub(r" (covalent==\S+|your-own-packages)", "", "\n".join(lines)) + "\n"


class OwnImages:
    """Builds images as a user does, in a clone of the repository."""

    def __init__(self, clone: Path) -> None:
        self._engine = docker.from_env()
        self._clone = clone
        for name in PACKAGED:
            shutil.copy(PROJECT / name, clone)
        package = "covalent_awsbatch_plugin"
        shutil.copytree(PROJECT / package, clone / package, ignore=shutil.ignore_patterns("__pycache__"))

    def build(self, name: str, dockerfile: str) -> str:
        """Build an image and return its name, which only the engine knows."""
        (self._clone / "Dockerfile").write_text(dockerfile)
        tag = f"covalent-awsbatch-test:{name}"
        self._engine.images.build(path=str(self._clone), tag=tag, network_mode="host", rm=True, forcerm=True)
        return tag

    def close(self) -> None:
        self._engine.close()


@pytest.fixture(scope="module")
def own(containers, tmp_path_factory):
    images = OwnImages(tmp_path_factory.mktemp("clone"))
    yield images
    images.close()


@pytest.fixture(scope="module")
def good(own) -> str:
    return own.build("good", of_the_readme())


async def error_of(aws, image: str, function=lambda: 1) -> str:
    """Return the error of a task in an image of the user's own."""
    executor = executor_for(aws, container_image_uri=image)
    with pytest.raises(TaskRuntimeError) as error:
        await call(executor, function, dispatch_id=uuid.uuid4().hex)
    return str(error.value)


async def test_the_lines_of_the_readme_make_a_good_image(containers, good):
    before = containers.calls()
    executor = executor_for(containers, container_image_uri=good)

    def speak(value):
        print("spoken")
        return value + 1

    answer = await call(executor, speak, 41, dispatch_id=uuid.uuid4().hex)
    assert answer.get_deserialized() == 42
    assert executor._task_stdout.getvalue() == "spoken\n"
    after = containers.calls()
    assert [after.get(each) for each in ("ecr", "registry")] == [
        before.get(each) for each in ("ecr", "registry")
    ]


FOUR_LINES = r"leave container_image_uri empty, or give that image the four lines of the README\."


@pytest.mark.parametrize(
    ("name", "dockerfile", "says"),
    [
        (
            "without-runtime",
            WITHOUT_RUNTIME,
            rf"The job ran in an image without this package's runtime: .*code 1.* Next step: {FOUR_LINES}",
        ),
        (
            "without-cloudpickle",
            WITHOUT_CLOUDPICKLE,
            r"The container has no cloudpickle, which the runtime needs: give the image the four lines of "
            r"the README, or leave container_image_uri empty\.",
        ),
        (
            "without-obstore",
            WITHOUT_OBSTORE,
            rf"The job ran in an image without an obstore .*: .* \(exit code 102\)\. Next step: {FOUR_LINES}",
        ),
        (
            "without-python",
            WITHOUT_PYTHON,
            rf"The job found no `python` in its image: .*CannotStartContainerError.* Next step: {FOUR_LINES}",
        ),
    ],
)
async def test_what_an_image_lacks_is_one_sentence(containers, own, name, dockerfile, says):
    error = await error_of(containers, own.build(name, dockerfile))
    assert re.fullmatch(says, error.splitlines()[0])
    assert "Traceback" not in error
    assert "pickle.loads" not in error


@pytest.mark.parametrize(
    ("name", "entrypoint", "says"),
    [
        (
            "entrypoint-python",
            '["python"]',
            r"The job ran in an image with an ENTRYPOINT that takes .* \(exit code 2\)\. Next step: .*"
            r"`ENTRYPOINT \[\]`\.",
        ),
        (
            "entrypoint-true",
            '["true"]',
            r"The job ended well but left no outcome: .* \(exit code 0\)\. Next step: check that its image "
            r"has no ENTRYPOINT, .*",
        ),
    ],
)
async def test_an_entrypoint_in_the_way_is_named(containers, own, good, name, entrypoint, says):
    error = await error_of(containers, own.build(name, f"FROM {good}\nENTRYPOINT {entrypoint}\n"))
    assert re.fullmatch(says, error.splitlines()[0])


async def test_an_image_that_nobody_has_is_one_sentence(containers):
    error = await error_of(containers, "127.0.0.1:9/nobody/has:1")
    headline = error.splitlines()[0]
    assert headline.startswith("The job could not get its image: ")
    assert "CannotPullContainerError: " in headline
    assert "container_image_uri" in headline


async def test_another_python_than_the_images_is_one_sentence(containers, good):
    function = assembled(lambda: 1)
    carried: TransportableObject = function.args[0]
    carried._header = {**carried.header, "py_version": "3.99.1"}
    with pytest.raises(TaskRuntimeError) as error:
        await executor_for(containers, container_image_uri=good).run(
            function, [], {}, {"dispatch_id": uuid.uuid4().hex, "node_id": 0, "results_dir": ""}
        )
    headline = str(error.value).splitlines()[0]
    assert re.fullmatch(
        r"The function was pickled by Python 3\.99\.1, but the container runs Python 3\.\d+\.\d+: .*"
        r"use an image with Python 3\.99, or leave container_image_uri empty\.",
        headline,
    )
    assert "Traceback" not in str(error.value)


async def test_what_a_function_prints_is_no_evidence_against_its_image(containers, good):
    """Words that would convict an image, in the log of a job that somebody killed."""

    def speak_and_wait():
        import time

        print("covalent-awsbatch: The image has no obstore")
        print("No module named 'covalent_awsbatch_plugin'", flush=True)
        time.sleep(300)

    executor = executor_for(containers, container_image_uri=good)
    dispatch_id = uuid.uuid4().hex
    error, _ = await asyncio.gather(
        call(executor, speak_and_wait, dispatch_id=dispatch_id),
        asyncio.to_thread(kill_when_it_has_spoken, containers, dispatch_id),
        return_exceptions=True,
    )
    headline, *rest = str(error).splitlines()
    assert headline.startswith("The job was killed (SIGKILL): ")
    assert any("No module named" in line for line in rest)


def kill_when_it_has_spoken(aws, dispatch_id: str) -> None:
    job_id = aws.wait_for_job(dispatch_id, "RUNNING")["jobId"]
    eventually(lambda: "No module named" in "".join(aws.log_lines(job_id)))
    aws.control("POST", f"jobs/{job_id}/kill")
