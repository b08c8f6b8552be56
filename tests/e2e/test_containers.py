"""The whole way in real containers: an image built, pushed, pulled and run, by a real engine and registry."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import re
import shlex
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import covalent as ct
import docker
import pytest
from covalent._shared_files.exceptions import TaskCancelledError, TaskRuntimeError
from covalent._workflow.transportable_object import TransportableObject

from covalent_awsbatch_plugin.image.environment import LABEL
from tests import docker_engine
from tests.e2e.surroundings import AWS, Counted, eventually
from tests.e2e.test_run import assembled, call, executor_for, lattice

AWSBatchExecutor = ct.executor.AWSBatchExecutor

ELECTRONS = 200
MB = 1_000_000


@pytest.fixture
def repository() -> str:
    """The name of a repository that does not exist."""
    return f"tests/{uuid.uuid4().hex}"


class Made:
    """What was asked of the registry, and built and pushed, since the beginning."""

    def __init__(self, aws: AWS) -> None:
        self._counted = Counted(aws)

    def __getitem__(self, name: str) -> int:
        return self._counted("registry" if name == "PutManifest" else "ecr", name)

    def counts(self) -> dict[str, int]:
        return {name: self[name] for name in ("DescribeImages", "PutManifest")}


async def refused(aws: AWS, **options: Any) -> str:
    """Return the error of a task that cannot get its image, which submits nothing."""
    before = aws.submitted()
    with pytest.raises(TaskRuntimeError) as error:
        await call(executor_for(aws, **options), lambda: 1, dispatch_id=uuid.uuid4().hex)
    assert aws.submitted() == before
    assert "Traceback" not in str(error.value)
    return str(error.value)


@contextmanager
def denied(aws: AWS, *operations: str) -> Iterator[None]:
    """Take away rights at ECR, as a policy would."""
    aws.control("POST", "ecr/deny", {"operations": list(operations)})
    try:
        yield
    finally:
        aws.control("POST", "ecr/allow")


async def answers(aws: AWS, **options: Any) -> bool:
    """Tell whether a task gets its value."""
    answer = await call(executor_for(aws, **options), lambda: 42, dispatch_id=uuid.uuid4().hex)
    return bool(answer.get_deserialized() == 42)


# --- through Covalent's server --------------------------------------------------------------------------


def test_a_workflow_builds_pushes_pulls_and_runs_and_the_next_builds_nothing(
    dispatch, containers, repository
):
    executor = AWSBatchExecutor(**{**containers.settings, "ecr_repo_name": repository})

    @ct.electron(executor=executor)
    def where():
        import os

        print("in a container")
        return os.getuid(), os.path.exists("/.dockerenv"), os.environ["AWS_BATCH_JOB_ID"]

    made = Made(containers)
    first = dispatch(lattice(lambda: where()))
    uid, in_container, job_id = first.value()
    job = containers.jobs_of(first.id)[0]
    assert (uid, in_container, job_id) == (10001, True, job["jobId"])
    assert made.counts() == {"DescribeImages": 1, "PutManifest": 1}
    assert f"/{repository}@sha256:" in job["container"]["image"]
    node = first.node("where")
    assert node["stdout"] == "in a container\n"
    assert "covalent-awsbatch: built the image" in node["stderr"]

    second = dispatch(lattice(lambda: where()))
    second.value()
    assert made["PutManifest"] == 1
    assert not second.node("where")["stderr"]


def test_electrons_of_electrons_sublattices_and_bash_find_covalent_in_the_image(dispatch, containers):
    executor = AWSBatchExecutor(**{**containers.settings, "install_covalent": True, "memory": 0.5})

    @ct.electron(executor=executor, deps_bash=ct.DepsBash(["echo bash > /tmp/bash"]))
    def read():
        return Path("/tmp/bash").read_text()

    @ct.electron(executor=executor)
    @ct.lattice(executor=executor, workflow_executor=executor)
    def below():
        return read()

    @ct.lattice(executor=executor, workflow_executor=executor)
    def above():
        return [read(), below()]

    assert dispatch(above).value() == ["bash\n", "bash\n"]


def test_depspip_is_in_the_image_and_nothing_is_installed_in_the_container(dispatch, containers, repository):
    executor = AWSBatchExecutor(**{**containers.settings, "ecr_repo_name": repository})

    @ct.electron(executor=executor, deps_pip=ct.DepsPip(packages=["iniconfig==2.0.0"]))
    def use():
        import importlib.metadata
        import os
        import subprocess

        import iniconfig

        installed_later = os.listdir(os.environ["HOME"])
        pip = subprocess.run(["pip", "list", "--user"], capture_output=True, text=True, check=False)
        return iniconfig.__file__, importlib.metadata.version("iniconfig"), installed_later, pip.stdout

    path, version, installed_later, user_packages = dispatch(lattice(lambda: use())).value()
    assert path.startswith("/opt/covalent-awsbatch/")
    assert (version, installed_later, user_packages.strip()) == ("2.0.0", [], "")


def test_a_depspip_that_no_image_can_hold_is_installed_in_the_container(dispatch, containers):
    executor = AWSBatchExecutor(**{**containers.settings, "install_covalent": True, "memory": 0.5})

    @ct.electron(
        executor=executor,
        deps_bash=ct.DepsBash(["mkdir -p /tmp/p && echo 'ANSWER = 42' > /tmp/p/late.py", WRITE_SETUP]),
        deps_pip=ct.DepsPip(packages=["--no-build-isolation", "/tmp/p"]),
    )
    def use():
        import late

        return late.ANSWER

    assert dispatch(lattice(lambda: use())).value() == 42


WRITE_SETUP = (
    'printf \'from setuptools import setup\\nsetup(name="late", version="1", py_modules=["late"])\\n\''
    " > /tmp/p/setup.py"
)


def test_a_function_that_needs_more_memory_than_it_has_is_told_so(dispatch, containers):
    @ct.electron(executor=AWSBatchExecutor(**containers.settings))
    def greedy():
        return len(bytearray(b"x") * 2_000_000_000)

    error = dispatch(lattice(lambda: greedy())).node("greedy")["error"]
    headline = error.splitlines()[0]
    assert "ran out of memory: " in headline
    assert "OutOfMemoryError: Container killed due to memory usage" in headline
    assert "raise memory, or let it climb with memory_on_oom: its limit was 256 MiB (memory=0.25)" in headline


def test_a_build_that_fails_shows_pips_own_words(dispatch, containers, repository):
    options = {"ecr_repo_name": repository, "requirements": ["no-such-package-at-all==1.0"]}

    @ct.electron(executor=AWSBatchExecutor(**{**containers.settings, **options}))
    def never():
        return 1

    workflow = dispatch(lattice(lambda: never()))
    headline = workflow.node("never")["error"].splitlines()[0]
    assert "ERROR: No matching distribution found for no-such-package-at-all==1.0" in headline
    assert containers.jobs_of(workflow.id) == []


# --- many at once, and what changes the image -----------------------------------------------------------


@pytest.fixture
def paused(containers):
    containers.control("POST", "pause")
    yield containers
    containers.control("POST", "resume")


async def test_many_electrons_at_once_on_an_empty_registry_are_one_build_and_one_push(
    paused, engine, repository
):
    made = Made(paused)
    built = Builds(engine)
    dispatch_id = uuid.uuid4().hex
    executors = [executor_for(paused, ecr_repo_name=repository) for _ in range(ELECTRONS)]
    tasks = [
        asyncio.create_task(call(executor, lambda: 1, dispatch_id=dispatch_id, node_id=node_id))
        for node_id, executor in enumerate(executors)
    ]
    await asyncio.to_thread(eventually, lambda: len(paused.jobs_of(dispatch_id)) == ELECTRONS)
    assert made.counts() == {"DescribeImages": 1, "PutManifest": 1}
    assert built.count() == 1
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(each) for each in ended} == {TaskCancelledError}
    await asyncio.to_thread(
        eventually, lambda: {job["status"] for job in paused.jobs_of(dispatch_id)} == {"FAILED"}
    )


class Builds:
    """The images that the engine has finished building under our name since the beginning."""

    def __init__(self, engine: docker.DockerClient) -> None:
        self._events = engine.events(decode=True, filters={"type": "image", "event": "tag"})
        self._engine = engine

    def count(self) -> int:
        """Count up to a tag that is set now, which closes the list."""
        mark = f"mark-{uuid.uuid4().hex}:1"
        self._engine.api.tag(docker_engine.BASE_IMAGE, *mark.split(":"))
        names: list[str] = []
        for event in self._events:
            name = event["Actor"]["Attributes"]["name"]
            if name == mark:
                break
            names.append(name)
        self._engine.api.remove_image(mark, noprune=True)
        return sum(name.startswith("covalent-awsbatch:") for name in names)


async def test_two_servers_that_build_at_once_both_get_the_image(containers, repository, tmp_path):
    """The second one to push finds the tag taken, and may not overwrite it."""
    (tmp_path / "Dockerfile").write_text(f"FROM {docker_engine.BASE_IMAGE}\nRUN sleep 3\n")
    ecr = containers.client("ecr")
    ecr.create_repository(repositoryName=repository, imageTagMutability="IMMUTABLE")

    def serve() -> bool:
        return asyncio.run(answers(containers, ecr_repo_name=repository, build_context=str(tmp_path)))

    assert await asyncio.gather(*(asyncio.to_thread(serve) for _ in range(2))) == [True, True]
    listed = ecr.list_images(repositoryName=repository, filter={"tagStatus": "TAGGED"})["imageIds"]
    assert len(listed) == 1


async def test_a_changed_requirement_is_another_image_and_a_changed_function_is_not(containers, repository):
    made = Made(containers)
    options = {"ecr_repo_name": repository}
    for number in range(2):
        await call(executor_for(containers, **options), lambda n=number: n, dispatch_id=uuid.uuid4().hex)
    assert made["PutManifest"] == 1
    options["requirements"] = ["iniconfig==2.0.0"]
    assert await answers(containers, **options)
    assert made["PutManifest"] == 2


async def test_a_task_can_be_cancelled_while_its_image_is_built_and_others_get_theirs(paused, repository):
    options = {"ecr_repo_name": repository, "requirements": ["iniconfig==2.0.0", "tomli==2.0.1"]}
    before = paused.submitted()
    executors = [executor_for(paused, **options) for _ in range(2)]
    dispatch_id = uuid.uuid4().hex
    tasks = [
        asyncio.create_task(call(executor, lambda: 1, dispatch_id=dispatch_id, node_id=node_id))
        for node_id, executor in enumerate(executors)
    ]
    made = Made(paused)
    await asyncio.to_thread(eventually, lambda: made["GetAuthorizationToken"] == 1)
    await executors[0].cancel({"dispatch_id": dispatch_id, "node_id": 0}, None)
    with pytest.raises(TaskCancelledError):
        await tasks[0]
    paused.control("POST", "resume")
    assert (await tasks[1]).get_deserialized() == 1
    assert paused.submitted() == before + 1


# --- the image itself -----------------------------------------------------------------------------------


async def test_the_image_is_small_overridable_labelled_and_nobody_special(containers, engine, repository):
    dispatch_id = uuid.uuid4().hex
    options = {"ecr_repo_name": repository, "requirements": ["iniconfig==2.0.0"]}
    await call(executor_for(containers, **options), lambda: 1, dispatch_id=dispatch_id)
    uri = containers.jobs_of(dispatch_id)[0]["container"]["image"]
    image = engine.images.get(uri)
    config = image.attrs["Config"]
    assert not config["Entrypoint"]
    assert config["User"] == "10001:10001"
    made_from = json.loads(config["Labels"][LABEL])
    assert made_from["requirements"] == ["iniconfig==2.0.0"]
    assert made_from["base_image"] == docker_engine.BASE_IMAGE
    above_base = image.attrs["Size"] - engine.images.get(docker_engine.BASE_IMAGE).attrs["Size"]
    assert above_base < 25 * MB


async def test_a_dockerfile_of_ones_own_is_built_on(containers, repository, tmp_path):
    (tmp_path / "Dockerfile").write_text(f"FROM {docker_engine.BASE_IMAGE}\nCOPY table.csv /data/\n")
    (tmp_path / "table.csv").write_text("1,2\n")
    made = Made(containers)
    options = {"ecr_repo_name": repository, "build_context": str(tmp_path)}

    async def read() -> str:
        task = executor_for(containers, **options)
        path = "/data/table.csv"
        answer = await call(task, lambda: Path(path).read_text(), dispatch_id=uuid.uuid4().hex)
        return str(answer.get_deserialized())

    assert await read() == "1,2\n"
    (tmp_path / "table.csv").write_text("3,4\n")
    assert await read() == "3,4\n"
    assert made["PutManifest"] == 2


# --- refusals: one clear sentence each, and the next electron may try again -----------------------------


async def test_another_python_in_the_base_image_is_one_clear_answer(containers, repository):
    function = assembled(lambda: 1)
    carried: TransportableObject = function.args[0]
    carried._header = {**carried.header, "py_version": "3.9.1"}
    executor = executor_for(containers, ecr_repo_name=repository)
    with pytest.raises(TaskRuntimeError) as error:
        await executor.run(function, [], {}, {"dispatch_id": "x", "node_id": 0, "results_dir": ""})
    assert f"the base image has Python {docker_engine.PYTHON}, the task was pickled by Python 3.9" in str(
        error.value
    )
    assert "Next step: set base_image" in str(error.value)


async def test_a_base_image_that_cannot_be_had(containers, repository):
    text = await refused(containers, ecr_repo_name=repository, base_image="127.0.0.1:9/no/such:image")
    assert text.startswith("The base image 127.0.0.1:9/no/such:image cannot be pulled: ")
    assert "set base_image" in text


async def test_a_build_context_without_a_dockerfile(containers, tmp_path):
    text = await refused(containers, build_context=str(tmp_path))
    assert "has no Dockerfile" in text


async def test_a_repository_that_is_missing_and_may_not_be_created(containers, repository):
    with denied(containers, "CreateRepository"):
        text = await refused(containers, ecr_repo_name=repository)
    assert "\n" not in text
    assert f"The ECR repository '{repository}' does not exist" in text
    assert "may not create it" in text
    assert await answers(containers, ecr_repo_name=repository)


async def test_a_login_that_is_not_given(containers, repository):
    with denied(containers, "GetAuthorizationToken"):
        text = await refused(containers, ecr_repo_name=repository)
    assert "\n" not in text
    assert "ECR gives no login" in text
    assert "ecr:GetAuthorizationToken" in text


async def test_a_push_without_the_right_to_push(containers, repository):
    with denied(containers, "InitiateLayerUpload", "PutImage"):
        text = await refused(containers, ecr_repo_name=repository)
    assert "\n" not in text
    assert "could not be pushed" in text
    assert "PutImage" in text
    assert await answers(containers, ecr_repo_name=repository)


async def test_a_look_that_is_not_allowed(containers, repository):
    with denied(containers, "DescribeImages"):
        text = await refused(containers, ecr_repo_name=repository)
    assert "\n" not in text
    assert "Check ecr:DescribeImages, or set container_image_uri" in text


async def test_a_token_that_has_expired_is_replaced_in_the_middle_of_a_session(containers, repository):
    """The second image is pushed with the login of the first, which is void by then."""
    made = Made(containers)
    assert await answers(containers, ecr_repo_name=repository)
    containers.control("POST", "registry/revoke-tokens")
    assert await answers(containers, ecr_repo_name=repository, requirements=["iniconfig==2.0.0"])
    assert made["GetAuthorizationToken"] == 2


@pytest.fixture
def token_lifetime(containers):
    """Have the registry give out tokens that hold so many seconds."""
    yield lambda seconds: containers.control("POST", "registry/token-lifetime", {"seconds": seconds})
    containers.control("POST", "registry/token-lifetime", {"seconds": None})


async def test_a_token_that_the_registry_never_takes(containers, repository, token_lifetime):
    token_lifetime(0)
    text = await refused(containers, ecr_repo_name=repository)
    assert "\n" not in text
    assert "could not be pushed: denied: Your authorization token has expired" in text
    token_lifetime(None)
    assert await answers(containers, ecr_repo_name=repository)


async def test_a_login_is_renewed_shortly_before_its_end(containers, repository, token_lifetime):
    token_lifetime(20 * 60)  # less than the margin that a push may need
    made = Made(containers)
    assert await answers(containers, ecr_repo_name=repository)
    asked = made["GetAuthorizationToken"]
    assert await answers(containers, ecr_repo_name=repository, requirements=["iniconfig==2.0.0"])
    assert made["GetAuthorizationToken"] > asked


async def test_one_login_serves_a_session(containers, repository):
    made = Made(containers)
    for requirements in ([], ["iniconfig==2.0.0"]):
        assert await answers(containers, ecr_repo_name=repository, requirements=requirements)
    assert made["GetAuthorizationToken"] == 1


async def test_a_full_disk(containers, repository, tmp_path):
    (tmp_path / "Dockerfile").write_text(f"FROM {docker_engine.BASE_IMAGE}\nCOPY noise /\n")
    (tmp_path / "noise").write_bytes(os.urandom(MB))  # a layer that the registry cannot have
    options = {"ecr_repo_name": repository, "build_context": str(tmp_path)}
    containers.control("POST", "registry/limit", {"bytes": 100_000})
    try:
        text = await refused(containers, **options)
    finally:
        containers.control("POST", "registry/limit", {"bytes": None})
    assert "\n" not in text
    assert "could not be pushed" in text
    assert await answers(containers, **options)


async def test_the_login_is_nowhere_to_be_read(containers, repository, caplog, monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for logger in ("", "covalent_awsbatch_plugin"):
        caplog.set_level(logging.DEBUG, logger)
    executor = executor_for(containers, ecr_repo_name=repository)
    await call(executor, lambda: 1, dispatch_id=uuid.uuid4().hex)
    assert list(tmp_path.iterdir()) == []
    # At this level the SDK's parser logs AWS's own answers, which tells what to look for.
    sdk = "\n".join(each.getMessage() for each in caplog.records if each.name == "botocore.parsers")
    (token,) = re.findall(r'"authorizationToken": ?"([^"]+)"', sdk)
    password = base64.b64decode(token).decode().partition(":")[2]
    others = [each for each in caplog.records if not each.name.startswith(("botocore", "aiobotocore"))]
    assert any("building covalent-awsbatch:" in each.getMessage() for each in others)
    for secret in (token, password):
        assert not any(secret in each.getMessage() for each in others)
        assert secret not in executor._task_stderr.getvalue()


async def test_without_an_engine_three_ways_lead_on_and_the_command_is_one_of_them(
    containers, repository, monkeypatch, tmp_path
):
    elsewhere = {
        **os.environ,
        "COVALENT_CONFIG_DIR": str(tmp_path),
        "AWS_SHARED_CREDENTIALS_FILE": containers.settings["credentials"],
    }
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such/engine.sock")
    options = {"ecr_repo_name": repository, "requirements": ["iniconfig==2.0.0"]}
    text = await refused(containers, **options)
    assert "\n" not in text
    for way in ("start Docker", "set container_image_uri", "covalent-awsbatch image build"):
        assert way in text
    command = shlex.split(text[text.index("covalent-awsbatch image build") :])
    program = [sys.executable, "-m", "covalent_awsbatch_plugin.cli"]
    await asyncio.to_thread(subprocess.run, [*program, *command[1:]], env=elsewhere, check=True)
    assert await answers(containers, **options)


# --- what a container may have beside its function --------------------------------------------------------


async def test_a_function_finds_its_shared_memory_and_its_volumes(containers: AWS, tmp_path: Path):
    """Of an instance's directory and of EFS, where another job finds what one has left."""

    def look(left: str) -> tuple[int, str, str, bool]:
        import os
        from pathlib import Path

        size = os.statvfs("/dev/shm")
        kept = Path("/mnt/efs/kept")
        before = kept.read_text() if kept.exists() else ""
        kept.write_text(left)
        given = Path("/given/file").read_text()
        return size.f_blocks * size.f_frsize >> 20, given, before, os.access("/given", os.W_OK)

    (tmp_path / "file").write_text("from the host")
    tmp_path.chmod(0o777)
    volumes = [
        {"efs": f"fs-{uuid.uuid4().hex[:17]}", "path": "/mnt/efs"},
        {"host": str(tmp_path), "path": "/given", "read_only": True},
    ]
    executor = executor_for(containers, shared_memory=0.125, volumes=volumes)
    answers = [await call(executor, look, each, dispatch_id=uuid.uuid4().hex) for each in ("one", "two")]
    first, second = (each.get_deserialized() for each in answers)
    assert first == (128, "from the host", "", False)
    assert second == (128, "from the host", "one", False)
