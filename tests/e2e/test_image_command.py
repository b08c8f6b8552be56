"""`covalent-awsbatch image build | show | list | prune`, against a real engine and registry."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import re
import signal
import tarfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import covalent as ct
import docker
import pytest
from covalent._shared_files.exceptions import TaskRuntimeError
from covalent._workflow.transportable_object import TransportableObject

from covalent_awsbatch_plugin import prune
from covalent_awsbatch_plugin.session import open_session
from covalent_awsbatch_plugin.settings import Settings
from tests import docker_engine
from tests.e2e.containers import ImageCommand
from tests.e2e.surroundings import Counted, eventually
from tests.e2e.test_run import assembled, call, executor_for

EVERYTHING = ("--older-than", "0")


@pytest.fixture(autouse=True)
def _engine_required():
    docker_engine.require()


@pytest.fixture
def image(containers, tmp_path) -> ImageCommand:
    """The command, for a repository that does not exist."""
    return ImageCommand(containers, f"command/{uuid.uuid4().hex}", tmp_path)


async def value_of(image: ImageCommand, dispatch_id: str, **options: Any) -> Any:
    """Return the value of a task that runs in an image of the command's repository."""
    executor = executor_for(image.aws, ecr_repo_name=image.repository, **options)
    return (await call(executor, lambda: 42, dispatch_id=dispatch_id)).get_deserialized()


def new_id() -> str:
    return uuid.uuid4().hex


def unique_requirement() -> str:
    """Return a requirement that no image has yet, and for which pip installs nothing."""
    return f"nothing; platform_release == '{new_id()}'"


def tags(image: ImageCommand) -> set[str]:
    """Return the tags of the repository's images, "" for one that has none."""
    found = image.aws.client("ecr").describe_images(repositoryName=image.repository)["imageDetails"]
    return {tag for each in found for tag in each.get("imageTags", [""])}


def digests(image: ImageCommand) -> set[str]:
    found = image.aws.client("ecr").describe_images(repositoryName=image.repository)["imageDetails"]
    return {each["imageDigest"] for each in found}


def definitions(image: ImageCommand) -> list[str]:
    """Return the ARNs of the active job definitions that name an image of the repository."""
    found = image.aws.batch.describe_job_definitions(status="ACTIVE")["jobDefinitions"]
    return [
        each["jobDefinitionArn"]
        for each in found
        if f"/{image.repository}@" in each["containerProperties"]["image"]
    ]


# --- build ----------------------------------------------------------------------------------------------


def test_build_prints_the_uri_alone_and_a_second_one_builds_nothing(image, engine):
    """Everything comes from the configuration; bucket, queue and roles need not exist for a build."""
    for name in ("s3_bucket_name", "batch_queue", "batch_job_role_name", "batch_execution_role_name"):
        image.settings[name] = "does-not-exist"
    counted = Counted(image.aws)
    first = image.run("build")
    host = image.aws.endpoint_url.removeprefix("http://")
    uri = first.stdout.removesuffix("\n")
    assert first.returncode == 0, first.stderr
    assert re.fullmatch(rf"{re.escape(host)}/{image.repository}@sha256:[0-9a-f]{{64}}", uri)
    lines = first.stderr.splitlines()
    assert any(re.fullmatch(r"building covalent-awsbatch:\S+: Step 1/\d+ : FROM \S+", line) for line in lines)
    assert any(line.startswith(f"pushing {host}/{image.repository}:") for line in lines)
    assert re.fullmatch(rf"built the image {host}/{image.repository}:\S+ in \d+ s", lines[-2])
    assert lines[-1].startswith("pushed it in ")
    assert "echo 'covalent:x:10001" in first.stderr  # as it stands: not cut, not wrapped, no emoji
    assert "\x1b" not in first.stderr
    assert counted("registry", "PutManifest") == 1

    image.settings["container_image_uri"] = "another:1"
    second = image.run("build")
    assert (second.returncode, second.stdout) == (0, first.stdout)
    nothing, warning = second.stderr.splitlines()
    assert re.fullmatch(r"the registry has the image \S+ already: nothing was built", nothing)
    assert warning == "container_image_uri is set: tasks run in its image, not in this"
    assert counted("registry", "PutManifest") == 1

    assert output_of_image(image, engine, uri) == "ready\n"


def output_of_image(image: ImageCommand, engine: docker.DockerClient, uri: str) -> str:
    """Pull an image as any machine would, and run the runtime's imports in it."""
    engine.images.pull(uri, auth_config=login(image))
    code = "import cloudpickle, covalent_awsbatch_plugin.runtime.job; print('ready')"
    output: bytes = engine.containers.run(uri, ["python", "-c", code], remove=True, network_mode="none")
    return output.decode()


def login(image: ImageCommand) -> dict[str, str]:
    given = image.aws.client("ecr").get_authorization_token()["authorizationData"][0]
    username, _, password = base64.b64decode(given["authorizationToken"]).decode().partition(":")
    return {"username": username, "password": password}


async def test_a_run_finds_what_the_command_built(image):
    """The options of the command and of the executor mean the same image, DepsPip included."""

    def installed(*names):
        from importlib.metadata import version

        return [version(name) for name in names]

    tag = json.loads((await in_thread(image, "show", *ENVIRONMENT)).stdout)["tag"]
    uri = (await in_thread(image, "build", *ENVIRONMENT)).stdout.strip()
    assert tags(image) == {tag}

    counted = Counted(image.aws)
    executor = executor_for(image.aws, ecr_repo_name=image.repository, requirements=["iniconfig==2.0.0"])
    dispatch_id = new_id()
    answer = await executor.run(
        assembled(installed, call_before=[ct.DepsPip(packages=["tomli==2.0.1"]).apply()]),
        [TransportableObject(each) for each in ("iniconfig", "tomli")],
        {},
        {"dispatch_id": dispatch_id, "node_id": 0, "results_dir": ""},
    )
    assert answer.get_deserialized() == ["2.0.0", "2.0.1"]
    assert (counted("ecr", "DescribeImages"), counted("registry", "PutManifest")) == (1, 0)
    assert image.aws.jobs_of(dispatch_id)[0]["container"]["image"] == uri


ENVIRONMENT = ("--require", "iniconfig == 2.0.0", "--pip-package", "tomli==2.0.1")


async def in_thread(image: ImageCommand, *arguments: str) -> Any:
    """Run the command beside this event loop, and see that it succeeds."""
    result = await asyncio.to_thread(image, *arguments)
    assert result.exit_code == 0, result.output
    return result


def test_a_terminal_has_a_bar_with_stage_and_percent(image):
    shown, stdout = image.show_on_terminal("build", "--require", unique_requirement(), stream="stderr")
    assert re.fullmatch(r"\S+@sha256:[0-9a-f]{64}\n", stdout)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert re.search(r"building +━+\S* +100% +\d:\d\d:\d\d ", plain)
    assert re.search(r"pushing +━+\S* +100% +\d:\d\d:\d\d ", plain)
    assert re.search(r"building +\S+ +[1-9]\d?% ", plain)
    assert "built the image " in plain


@pytest.mark.parametrize(
    ("options", "env", "says"),
    [
        (
            (),
            {"DOCKER_HOST": "unix:///nonexistent"},
            r"no Docker engine answers that could build it \(unix:///nonexistent: No such file",
        ),
        (
            ("--require", "no-such-package-anywhere==1"),
            {},
            r"No matching distribution found for no-such-",
        ),
        (("--python", "3.99"), {}, r"the base image has Python 3\.\d+, the task was pickled by Python 3\.99"),
        (("--base-image", "127.0.0.1:9/none:1"), {}, r"base image 127\.0\.0\.1:9/none:1 cannot be pulled"),
        (("--build-context", "/no/such/place"), {}, r"build_context='/no/such/place' has no Dockerfile"),
        (("--require", "two words"), {}, r"requirements is refused: 'two words' is no requirement"),
        (("--pip-package", "x @ file:///x"), {}, r"--pip-package is refused: 'x @ file:///x' names a path"),
        (("--requirements-file", "/no/file"), {}, r"requirements file cannot be read \(No such file"),
        (("--endpoint-url", "http://127.0.0.1:9"), {}, r"AWS did not answer \(.*127\.0\.0\.1:9"),
        (("--credentials", "/no/such/file"), {}, r"credentials file '/no/such/file' is missing"),
    ],
)
def test_what_goes_wrong_is_one_clear_message(image, options, env, says):
    result = image("build", *options, env=env)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Traceback" not in result.stderr
    (message,) = re.findall(r"^Error: .*", result.stderr, re.MULTILINE)
    assert re.search(says, message)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--python", "three"), "'three' is no version of Python such as 3.11"),
        (("--require", "a", "--requirements-file", "b"), "--require or --requirements-file, not both"),
        (("--cpu-architecture", "Z80"), "'X86_64', 'ARM64'"),
    ],
)
def test_options_that_mean_nothing_are_refused(image, options, says):
    result = image("build", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in " ".join(result.stderr.split())


def test_ctrl_c_ends_a_build_here_and_in_the_engine(image, engine, tmp_path):
    context = tmp_path / "context"
    context.mkdir()
    mark = new_id()
    (context / "Dockerfile").write_text(f"FROM {docker_engine.BASE_IMAGE}\nRUN echo {mark} && sleep 600\n")
    program = image.start("build", "--build-context", str(context))
    try:
        eventually(lambda: mark in program.stderr.readline())
        (container,) = eventually(lambda: building(engine, mark))
        program.send_signal(signal.SIGINT)
        stdout, stderr = program.communicate(timeout=60)
    finally:
        program.kill()
    assert (program.returncode, stdout) == (1, "")
    assert "Aborted!" in stderr
    assert "Traceback" not in stderr
    eventually(lambda: container not in building(engine, mark))


def building(engine: docker.DockerClient, mark: str) -> list[str]:
    """Return the ids of the containers whose command has the mark."""
    return [each["Id"] for each in engine.api.containers() if mark in each["Command"]]


# --- show and list --------------------------------------------------------------------------------------


def test_show_tells_what_an_image_is_made_from_and_whether_it_is_there(image, tmp_path):
    shown = json.loads(image("show").stdout)
    assert shown["repository"] == image.repository
    assert re.fullmatch(r"3\.\d+-[0-9a-f]{16}", shown["tag"])
    assert shown["digest"] is None
    assert shown["environment"]["base_image"] == docker_engine.BASE_IMAGE
    assert shown["environment"]["covalent"] == ""

    uri = image("build").stdout.strip()
    assert json.loads(image("show").stdout) == {**shown, "digest": uri.partition("@")[2]}

    listed = json.loads(image("show", "--require", "b==2", "--require", "a").stdout)
    assert listed["environment"]["requirements"] == ["a", "b==2"]
    assert (listed["tag"] != shown["tag"], listed["digest"]) == (True, None)
    file = tmp_path / "requirements.txt"
    file.write_text("# what it needs\na\nb == 2\n")
    assert json.loads(image("show", "--requirements-file", str(file)).stdout) == listed


def test_the_dockerfile_is_shown_without_asking_aws(image):
    result = image("show", "--dockerfile", "--require", "a==1", "--endpoint-url", "http://127.0.0.1:9")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == f"FROM {docker_engine.BASE_IMAGE}"
    assert lines[-1].startswith("USER ")
    assert any("requirements.txt" in line for line in lines)


def test_list_shows_tag_size_and_times_whole(image, engine):
    push(image, engine, "kept")
    digest = image("build").stdout.strip().rpartition(":")[2]
    (detail,) = [
        each
        for each in image.aws.client("ecr").describe_images(repositoryName=image.repository)["imageDetails"]
        if each["imageDigest"].endswith(digest)
    ]
    row = rf"{detail['imageTags'][0]} +{digest[:12]} +{detail['imageSizeInBytes'] / 1e6:.0f} +{{}} *$"
    row = row.format(f"{detail['imagePushedAt']:%Y-%m-%d %H:%M}")

    piped = image("list").stdout.splitlines()
    assert re.split(r" {2,}", piped[0].strip()) == ["tag", "digest", "MB", "pushed", "last pulled"]
    assert re.match(row, piped[1])  # the last pushed is the first
    assert piped[2].startswith("kept ")
    assert len(piped) == 3

    shown, stderr = image.show_on_terminal("list", stream="stdout")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert (re.match(row, plain[1]) is not None, stderr) == (True, "")
    assert plain[0].rstrip().endswith("last pulled")


@pytest.mark.parametrize("name", ["list", "prune"])
def test_a_repository_that_is_missing_is_said(image, name):
    result = image(name)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: There is no ECR repository '{image.repository}' in us-east-1")
    assert "--repository" in result.stderr


def test_an_empty_repository_is_said(image):
    image.aws.client("ecr").create_repository(repositoryName=image.repository)
    listed = image("list")
    assert (listed.exit_code, listed.stdout) == (0, "")
    assert listed.stderr == f"The repository {image.repository} has no images.\n"
    pruned = image("prune", "--yes")
    assert pruned.exit_code == 0
    assert pruned.stdout == "There is nothing to delete (--older-than 30).\n"


# --- prune ----------------------------------------------------------------------------------------------


def push(image: ImageCommand, engine: docker.DockerClient, *names: str) -> str:
    """Push a tiny image that is like no other, by these tags, and return its URI by digest."""
    ecr = image.aws.client("ecr")
    with contextlib.suppress(ecr.exceptions.RepositoryAlreadyExistsException):
        ecr.create_repository(repositoryName=image.repository)
    target = f"{image.aws.endpoint_url.removeprefix('http://')}/{image.repository}"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.addfile(tarfile.TarInfo(new_id()))
    engine.api.import_image_from_data(packed.getvalue(), repository=target, tag=names[0])
    digest = ""
    for name in names:
        engine.api.tag(f"{target}:{names[0]}", target, name)
        for item in engine.api.push(target, name, auth_config=login(image), stream=True, decode=True):
            assert "error" not in item, item
            digest = item.get("aux", {}).get("Digest", digest)
    for name in names:
        engine.api.remove_image(f"{target}:{name}")
    return f"{target}@{digest}"


async def test_a_dry_run_changes_nothing_and_yes_does_what_it_said_and_runs_go_on(image):
    assert await value_of(image, new_id()) == 42
    (tag,), (definition,) = tags(image), definitions(image)
    name = definition.rpartition("/")[2].partition(":")[0]

    dry = await in_thread(image, "prune", *EVERYTHING)
    would_deregister, would_delete, total = dry.stdout.splitlines()
    assert would_deregister == f"Would deregister the job definition {name}"
    assert would_delete == f"Would delete the image {tag}"
    assert re.fullmatch(r"1 image, \d+ MB\. Nothing was changed: repeat it with --yes to do so\.", total)
    assert (tags(image), definitions(image)) == ({tag}, [definition])

    done = await in_thread(image, "prune", *EVERYTHING, "--yes")
    assert done.stdout.splitlines()[:2] == [
        f"Deregistered the job definition {name}",
        f"Deleted the image {tag}",
    ]
    assert (tags(image), definitions(image)) == (set(), [])

    # This process has run a task before and believes both to be there.
    assert await value_of(image, new_id()) == 42
    assert tags(image) == {tag}
    assert len(definitions(image)) == 1


@contextmanager
def paused(image: ImageCommand) -> Iterator[None]:
    """Keep the queues' jobs from starting."""
    image.aws.control("POST", "pause")
    try:
        yield
    finally:
        image.aws.control("POST", "resume")


async def seen(task: asyncio.Task[Any], look: Callable[[], Any]) -> None:
    """Wait until a look gives something, or fail as the task has failed meanwhile."""
    await asyncio.to_thread(eventually, lambda: task.done() or look())
    if task.done():
        task.result()


@pytest.mark.parametrize("is_deregistered", [False, True])
async def test_an_image_that_a_job_in_any_queue_waits_for_stays(image, is_deregistered):
    queue = f"queue-{new_id()}"
    image.aws.batch.create_job_queue(
        jobQueueName=queue,
        priority=1,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "covalent-awsbatch-local"}],
    )
    name = f"job-{new_id()}"
    with paused(image):
        running = asyncio.create_task(value_of(image, name, batch_queue=queue))
        listing = {"jobQueue": queue, "jobStatus": "RUNNABLE"}
        await seen(running, lambda: image.aws.batch.list_jobs(**listing)["jobSummaryList"])
        if is_deregistered:
            image.aws.batch.deregister_job_definition(jobDefinition=definitions(image)[0])
        before = tags(image), definitions(image)
        pruned = await in_thread(image, "prune", *EVERYTHING, "--yes")
        assert pruned.stdout == "There is nothing to delete (--older-than 0).\n"
        assert (tags(image), definitions(image)) == before
    assert await running == 42


async def test_an_image_that_was_pushed_lately_stays(image):
    await in_thread(image, "build")
    pruned = await in_thread(image, "prune", "--yes", "--older-than", "1")
    assert pruned.stdout == "There is nothing to delete (--older-than 1).\n"
    assert len(tags(image)) == 1


async def test_an_old_image_that_a_job_used_lately_stays(image):
    """As the command plans it, but with a day between push and job that lies between them."""
    dispatch_id = new_id()
    await value_of(image, dispatch_id)
    settings = Settings.of(image.settings)
    details = image.aws.client("ecr").describe_images(repositoryName=image.repository)["imageDetails"]
    pushed_at = details[0]["imagePushedAt"]
    after_push = pushed_at + timedelta(microseconds=1)
    assert image.aws.jobs_of(dispatch_id)[0]["createdAt"] > after_push.timestamp() * 1000
    planned = await prune.plan(open_session(settings), settings, after_push)
    assert (planned.images, planned.definitions) == ([], [])
    later = pushed_at + timedelta(days=1)
    assert len((await prune.plan(open_session(settings), settings, later)).images) == 1


def test_what_is_not_ours_is_never_touched(image, engine):
    ours = [f"3.11-{number:016x}" for number in range(3)]
    push(image, engine, ours[0])
    push(image, engine, ours[1], "release")
    push(image, engine, "latest")  # is left without a tag by the next
    push(image, engine, "latest")
    push(image, engine, "3.11-slim")
    named = push(image, engine, ours[2])
    name = f"somebody-elses-{new_id()}"
    image.aws.batch.register_job_definition(
        jobDefinitionName=name,
        type="container",
        containerProperties={
            "image": named,
            "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
        },
    )
    before = tags(image)
    assert before == {*ours, "release", "latest", "3.11-slim", ""}

    pruned = image("prune", *EVERYTHING, "--yes")
    assert pruned.exit_code == 0, pruned.output
    assert pruned.stdout == f"Deleted the image {ours[0]}\n1 image, 0 MB\n"
    assert tags(image) == before - {ours[0]}
    assert len(definitions(image)) == 1


async def test_definitions_of_the_same_image_in_another_repository_stay(image, containers, tmp_path):
    """The layers are the same, and so is the digest."""
    other = ImageCommand(containers, f"command/{new_id()}", tmp_path)
    assert await value_of(image, new_id()) == await value_of(other, new_id()) == 42
    assert digests(image) == digests(other)
    await in_thread(image, "prune", *EVERYTHING, "--yes")
    assert (len(definitions(image)), len(definitions(other)), len(tags(other))) == (0, 1, 1)


# --- an image that others delete ------------------------------------------------------------------------


async def test_an_image_that_was_deleted_alone_is_built_again_by_the_next_run(image):
    """As a lifecycle policy of ECR does it: the job definition stays.

    The job waits meanwhile, and the image is like no other: an engine that has once pulled a digest does
    not ask for it again.
    """
    options = {"requirements": [unique_requirement()]}
    dispatch_id = new_id()
    with paused(image):
        failing = asyncio.create_task(value_of(image, dispatch_id, **options))
        await seen(failing, lambda: image.aws.jobs_of(dispatch_id))
        (tag,) = tags(image)
        ecr = image.aws.client("ecr")
        ecr.batch_delete_image(repositoryName=image.repository, imageIds=[{"imageTag": tag}])
    with pytest.raises(TaskRuntimeError) as error:
        await failing
    headline = str(error.value).splitlines()[0]
    assert "could not get its image: " in headline
    assert "is built again by the next dispatch" in headline
    assert await value_of(image, new_id(), **options) == 42
    assert tags(image) == {tag}
