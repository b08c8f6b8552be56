"""ECR with a real registry behind it: a real engine pushes and pulls."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from uuid import uuid4

import pytest
import requests
from docker.errors import APIError, NotFound

from covalent_awsbatch_plugin.local.aws import LocalAWS
from covalent_awsbatch_plugin.local.registry import distribution
from covalent_awsbatch_plugin.local.runner import RunnerKind
from tests import docker_engine

from .driving import Driver, call, client, until
from .ecr import Engine, Registry, digest_of, error_of, refusal, tags_of
from .program import Program
from .stacks import Stacks
from .test_command_line import processes_mentioning

MIB = 1024 * 1024


@pytest.fixture(scope="module", autouse=True)
def _needed() -> None:
    """Skip, or fail where containers are required, without an engine or a registry."""
    docker_engine.require()
    if not (shutil.which("docker-registry") or shutil.which("registry")):
        reason = "no registry is installed (Debian's package docker-registry)"
        pytest.fail(reason) if docker_engine.REQUIRED else pytest.skip(reason)


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close()


@pytest.fixture(scope="module")
def with_registry(_needed: None) -> Iterator[LocalAWS]:
    with LocalAWS(runner=RunnerKind.DOCKER, vcpus=1) as aws:
        yield aws


@pytest.fixture
def registry(with_registry: LocalAWS) -> Iterator[Registry]:
    made = Registry(with_registry.endpoint_url)
    call(f"{made.endpoint_url}/_local/calls", "DELETE")
    yield made
    made.switch("ecr/allow")
    made.switch("registry/limit", {"bytes": None})


def test_the_settings_name_a_repository_and_no_image(with_registry: LocalAWS) -> None:
    assert with_registry.settings["ecr_repo_name"] == "covalent-awsbatch-local"
    assert with_registry.settings["container_image_uri"] == ""


def test_a_pushed_image_comes_back_by_its_digest(registry: Registry, engine: Engine) -> None:
    name, auth = registry.repository(), registry.token()
    image = engine.image(50_000)
    digest = digest_of(engine.push(image, registry.uri(name), "one", auth))
    (found,) = registry.ecr.describe_images(repositoryName=name, imageIds=[{"imageTag": "one"}])[
        "imageDetails"
    ]
    assert (found["imageDigest"], found["imageTags"]) == (digest, ["one"])
    assert 50_000 < found["imageSizeInBytes"] < 60_000
    assert found["imagePushedAt"].tzinfo is not None
    assert found["imageManifestMediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert engine.pull(registry.uri(name), digest, auth).id == image.id


def test_settings_and_policies_are_kept(registry: Registry) -> None:
    name = registry.repository()
    ecr = registry.ecr
    ecr.put_image_scanning_configuration(repositoryName=name, imageScanningConfiguration={"scanOnPush": True})
    ecr.put_image_tag_mutability(repositoryName=name, imageTagMutability="IMMUTABLE")
    (found,) = ecr.describe_repositories(repositoryNames=[name])["repositories"]
    assert found["imageScanningConfiguration"] == {"scanOnPush": True}
    assert found["imageTagMutability"] == "IMMUTABLE"
    rules = json.dumps({"rules": []}, indent=100)  # AWS takes none below a hundred characters
    ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=rules)
    assert ecr.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"] == rules
    ecr.delete_lifecycle_policy(repositoryName=name)
    with pytest.raises(ecr.exceptions.LifecyclePolicyNotFoundException):
        ecr.get_lifecycle_policy(repositoryName=name)
    ecr.set_repository_policy(repositoryName=name, policyText="{}")
    assert ecr.get_repository_policy(repositoryName=name)["policyText"] == "{}"
    ecr.delete_repository_policy(repositoryName=name)
    with pytest.raises(ecr.exceptions.RepositoryPolicyNotFoundException):
        ecr.get_repository_policy(repositoryName=name)


def test_a_stack_has_its_repository_here_and_leaves_it_with_images(
    with_registry: LocalAWS, registry: Registry, engine: Engine
) -> None:
    repository = {"Type": "AWS::ECR::Repository", "Properties": {"RepositoryName": "of/stack"}}
    stacks = Stacks(with_registry)
    assert stacks.create("images", {"Resources": {"One": repository}})["StackStatus"] == "CREATE_COMPLETE"
    digest_of(engine.push(engine.image(1000), registry.uri("of/stack"), "one", registry.token()))
    assert stacks.delete("images")["StackStatus"] == "DELETE_FAILED"
    assert "still contains images" in stacks.reason("images", "One", "DELETE_FAILED")
    registry.ecr.batch_delete_image(repositoryName="of/stack", imageIds=[{"imageTag": "one"}])
    assert stacks.delete("images")["StackStatus"] == "DELETE_COMPLETE"


def test_an_empty_one_has_no_repository() -> None:
    with LocalAWS(runner=RunnerKind.DOCKER, empty=True) as aws:
        assert set(aws.settings) == {"endpoint_url", "region", "credentials", "profile"}
        assert client(aws, "ecr").describe_repositories()["repositories"] == []


def test_a_token_is_for_this_registry_and_lasts_twelve_hours(registry: Registry) -> None:
    answer = registry.ecr.get_authorization_token()
    (data,) = answer["authorizationData"]
    assert data["proxyEndpoint"] == registry.endpoint_url
    now = requests.get(f"{registry.endpoint_url}/v2/", timeout=10).headers["Date"]
    lifetime = data["expiresAt"] - parsedate_to_datetime(now)
    assert 11.9 < lifetime.total_seconds() / 3600 < 12.1


def test_images_are_described_listed_and_read(registry: Registry, engine: Engine) -> None:
    name, auth = registry.repository(), registry.token()
    ecr, uri = registry.ecr, registry.uri(name)
    old = digest_of(engine.push(engine.image(), uri, "moving", auth))
    new = digest_of(engine.push(engine.image(), uri, "moving", auth))
    described = ecr.describe_images(repositoryName=name)["imageDetails"]
    assert [(each["imageDigest"], each.get("imageTags")) for each in described] == [
        (old, None),
        (new, ["moving"]),
    ]
    for status, digest in (("TAGGED", new), ("UNTAGGED", old)):
        request = {"repositoryName": name, "filter": {"tagStatus": status}}
        assert [each["imageDigest"] for each in ecr.list_images(**request)["imageIds"]] == [digest]
        assert [each["imageDigest"] for each in ecr.describe_images(**request)["imageDetails"]] == [digest]
    read = ecr.batch_get_image(
        repositoryName=name, imageIds=[{"imageTag": "moving"}, {"imageTag": "no"}, {"imageDigest": old}]
    )
    assert [each["imageId"] for each in read["images"]] == [
        {"imageDigest": new, "imageTag": "moving"},
        {"imageDigest": old},
    ]
    assert json.loads(read["images"][0]["imageManifest"])["schemaVersion"] == 2
    assert [(each["imageId"], each["failureCode"]) for each in read["failures"]] == [
        ({"imageTag": "no"}, "ImageNotFound")
    ]


def test_what_does_not_exist_is_refused_in_awss_words(registry: Registry) -> None:
    name = registry.repository()
    for image_id, text in (
        ({"imageTag": "x"}, "{imageDigest:'null', imageTag:'x'}"),
        ({"imageDigest": "sha256:00"}, "{imageDigest:'sha256:00', imageTag:'null'}"),
    ):
        assert refusal(registry.ecr.describe_images, repositoryName=name, imageIds=[image_id]) == (
            f"ImageNotFoundException: The image with imageId {text} does not exist within the repository "
            f"with name '{name}' in the registry with id '123456789012'"
        )
    assert refusal(registry.ecr.list_images, repositoryName="missing") == (
        "RepositoryNotFoundException: The repository with name 'missing' does not exist in the registry "
        "with id '123456789012'"
    )


def test_with_its_last_tag_an_image_goes(registry: Registry, engine: Engine) -> None:
    name, auth = registry.repository(), registry.token()
    ecr, uri, image = registry.ecr, registry.uri(name), engine.image()
    digest = digest_of(engine.push(image, uri, "a", auth))
    assert digest_of(engine.push(image, uri, "b", auth)) == digest
    for tag, left in (("a", ["b"]), ("b", [])):
        answer = ecr.batch_delete_image(repositoryName=name, imageIds=[{"imageTag": tag}])
        assert answer["imageIds"] == [{"imageDigest": digest, "imageTag": tag}]
        assert tags_of(registry, name) == left
    assert digest_of(engine.push(image, uri, "again", auth)) == digest
    assert tags_of(registry, name) == ["again"]


def test_by_its_digest_an_image_goes_with_all_tags(registry: Registry, engine: Engine) -> None:
    name, auth = registry.repository(), registry.token()
    image = engine.image()
    for tag in ("a", "b"):
        digest = digest_of(engine.push(image, registry.uri(name), tag, auth))
    ids: list[dict[str, str]] = [{"imageDigest": digest}, {"imageTag": "a"}, {}, {"imageDigest": "x"}]
    answer = registry.ecr.batch_delete_image(repositoryName=name, imageIds=ids)
    assert answer["imageIds"] == [{"imageDigest": digest, "imageTag": tag} for tag in ("a", "b")]
    codes = [each["failureCode"] for each in answer["failures"]]
    assert codes == ["ImageNotFound", "MissingDigestAndTag", "InvalidImageDigest"]
    assert tags_of(registry, name) == []


def test_repositories_are_created_described_and_deleted(registry: Registry) -> None:
    ecr, name = registry.ecr, f"plain-{uuid4().hex}"
    settings = {"imageScanningConfiguration": {"scanOnPush": True}, "imageTagMutability": "IMMUTABLE"}
    created = ecr.create_repository(repositoryName=name, tags=[{"Key": "k", "Value": "v"}], **settings)
    repository = created["repository"]
    assert repository["repositoryUri"] == registry.uri(name)
    assert repository["repositoryArn"] == f"arn:aws:ecr:us-east-1:123456789012:repository/{name}"
    assert {member: repository[member] for member in settings} == settings
    assert ecr.describe_repositories(repositoryNames=[name])["repositories"] == [repository]
    tags = ecr.list_tags_for_resource(resourceArn=repository["repositoryArn"])["tags"]
    assert tags == [{"Key": "k", "Value": "v"}]
    assert refusal(ecr.create_repository, repositoryName=name) == (
        f"RepositoryAlreadyExistsException: The repository with name '{name}' already exists in the "
        "registry with id '123456789012'"
    )
    ecr.delete_repository(repositoryName=name)
    assert "RepositoryNotFoundException" in refusal(ecr.describe_repositories, repositoryNames=[name])


@pytest.mark.parametrize("name", ["Upper", "a//b", "-a", "a_-b"])
def test_a_name_that_ecr_would_not_take_is_refused(registry: Registry, name: str) -> None:
    text = refusal(registry.ecr.create_repository, repositoryName=name)
    assert text.startswith(
        "InvalidParameterException: Invalid parameter at 'repositoryName' failed to satisfy constraint: "
        "'must satisfy regular expression '"
    )
    assert "InvalidParameterException" in refusal(registry.ecr.create_repository, repositoryName="x" * 257)


def test_a_repository_with_images_is_deleted_by_force(registry: Registry, engine: Engine) -> None:
    outer, auth = registry.repository(), registry.token()
    inner = f"{outer}/inner"
    registry.ecr.create_repository(repositoryName=inner)
    image = engine.image()
    for name in (outer, inner):
        digest_of(engine.push(image, registry.uri(name), "one", auth))
    assert refusal(registry.ecr.delete_repository, repositoryName=outer) == (
        f"RepositoryNotEmptyException: The repository with name '{outer}' in registry with id "
        "'123456789012' cannot be deleted because it still contains images"
    )
    registry.ecr.delete_repository(repositoryName=outer, force=True)
    registry.ecr.create_repository(repositoryName=outer)
    assert tags_of(registry, outer) == []
    assert tags_of(registry, inner) == ["one"]
    digest_of(engine.push(image, registry.uri(outer), "one", auth))


def test_long_answers_come_in_pages(registry: Registry, engine: Engine) -> None:
    name, auth, image = registry.repository(), registry.token(), engine.image()
    for tag in ("a", "b", "c"):
        digest_of(engine.push(image, registry.uri(name), tag, auth))
    pages = registry.ecr.get_paginator("list_images").paginate(
        repositoryName=name, PaginationConfig={"PageSize": 2}
    )
    assert [len(each["imageIds"]) for each in pages] == [2, 1]
    repositories = registry.ecr.get_paginator("describe_repositories").paginate(
        PaginationConfig={"PageSize": 1}
    )
    names = [each["repositoryName"] for page in repositories for each in page["repositories"]]
    assert (name in names, len(names)) == (True, len(set(names)))
    assert "Invalid nextToken" in refusal(registry.ecr.list_images, repositoryName=name, nextToken="x")


def test_an_immutable_tag_is_pushed_once(registry: Registry, engine: Engine) -> None:
    name, auth = registry.repository(imageTagMutability="IMMUTABLE"), registry.token()
    image, uri = engine.image(), registry.uri(name)
    digest_of(engine.push(image, uri, "one", auth))
    assert error_of(engine.push(image, uri, "one", auth)) == (
        f"tag invalid: The image tag 'one' already exists in the '{name}' repository and cannot be "
        "overwritten because the tag is immutable."
    )


EXPIRED = "denied: Your authorization token has expired. Reauthenticate and try again."


def test_nobody_comes_in_without_a_valid_token(registry: Registry, engine: Engine) -> None:
    name, auth = registry.repository(), registry.token()
    image, uri = engine.image(), registry.uri(name)
    digest_of(engine.push(image, uri, "one", auth))
    registry.switch("registry/revoke-tokens")
    wrong = {"username": "AWS", "password": "wrong"}
    for bad, text in (
        ({}, "no basic auth credentials"),
        (wrong, "unauthorized: authentication required"),
        (auth, EXPIRED),
    ):
        assert error_of(engine.push(engine.image(), uri, "two", bad)) == text
        with pytest.raises(APIError, match=text):
            engine.pull(uri, "one", bad)
    assert tags_of(registry, name) == ["one"]
    assert engine.pull(uri, "one", registry.token()).id == image.id


def test_the_refusal_of_a_stranger_asks_for_a_password(registry: Registry) -> None:
    answer = requests.get(f"{registry.endpoint_url}/v2/", timeout=10)
    assert (answer.status_code, answer.text) == (401, "Not Authorized\n")
    assert answer.headers["WWW-Authenticate"].startswith(f'Basic realm="{registry.endpoint_url}/"')
    auth = tuple(registry.token().values())
    assert requests.get(f"{registry.endpoint_url}/v2/", auth=auth, timeout=10).status_code == 200


def test_a_repository_must_exist(registry: Registry, engine: Engine) -> None:
    auth, text = registry.token(), (
        "name unknown: The repository with name 'missing' does not exist in the registry with id "
        "'123456789012'"
    )  # fmt: skip
    assert error_of(engine.push(engine.image(), registry.uri("missing"), "one", auth)) == text
    with pytest.raises(NotFound, match=text):
        engine.pull(registry.uri("missing"), "one", auth)
    with pytest.raises(NotFound, match="manifest unknown: Requested image not found"):
        engine.pull(registry.uri(registry.repository()), "one", auth)


def test_what_is_denied_is_denied_in_the_api_and_at_the_registry(registry: Registry, engine: Engine) -> None:
    name, auth = registry.repository(), registry.token()
    assert registry.switch("ecr/deny", {"operations": ["CreateRepository", "PutImage"]})[0] == 200
    denial = "User: arn:aws:iam::123456789012:user/local is not authorized to perform: ecr:{} on resource: {}"
    arn = "arn:aws:ecr:us-east-1:123456789012:repository/"
    assert refusal(registry.ecr.create_repository, repositoryName="other").startswith(
        "AccessDeniedException: " + denial.format("CreateRepository", f"{arn}other")
    )
    assert error_of(engine.push(engine.image(), registry.uri(name), "one", auth)).startswith(
        "denied: " + denial.format("PutImage", f"{arn}{name}")
    )
    registry.switch("ecr/allow")
    digest_of(engine.push(engine.image(), registry.uri(name), "one", auth))
    assert registry.switch("ecr/deny", {"operations": ["NoSuchOperation"]})[0] == 400


def test_calls_are_counted(registry: Registry, engine: Engine) -> None:
    name, auth = registry.repository(), registry.token()
    digest = digest_of(engine.push(engine.image(), registry.uri(name), "one", auth))
    calls = registry.calls()
    assert calls["ecr"] == {"CreateRepository": 1, "GetAuthorizationToken": 1}
    pushed = {"StartUpload": 2, "PatchUpload": 2, "PutBlob": 2, "PutManifest": 1}  # a layer and the settings
    assert {operation: calls["registry"].get(operation) for operation in pushed} == pushed
    engine.pull(registry.uri(name), digest, auth)
    pulled = registry.calls()["registry"]
    assert (pulled["GetManifest"], pulled["PutManifest"]) == (1, 1)


def test_a_full_disk_answers_500_until_there_is_room(registry: Registry) -> None:
    name, auth = registry.repository(), tuple(registry.token().values())
    uploads = f"{registry.endpoint_url}/v2/{name}/blobs/uploads/"

    def upload(body: Iterator[bytes]) -> int:
        started = requests.post(uploads, auth=auth, timeout=10)
        if started.status_code != 202:
            return started.status_code
        location = registry.endpoint_url + started.headers["Location"]
        return requests.patch(location, data=body, auth=auth, timeout=10).status_code

    assert registry.switch("registry/limit", {"bytes": 1000})[0] == 200
    assert upload(iter([b"x" * 1000])) == 202
    assert requests.post(uploads, auth=auth, timeout=10).status_code == 500
    registry.switch("registry/limit", {"bytes": 1000})
    assert upload(iter([b"x" * 600] * 2)) == 500
    registry.switch("registry/limit", {"bytes": None})
    assert upload(iter([b"x" * 600] * 2)) == 202
    for body in ({"bytes": -1}, {"bytes": "many"}, {}, []):
        assert registry.switch("registry/limit", body)[0] == 400


def test_an_engine_tries_again_when_the_disk_is_full(registry: Registry, engine: Engine) -> None:
    name, auth = registry.repository(), registry.token()
    registry.switch("registry/limit", {"bytes": 100_000})
    entries = engine.push(engine.image(MIB), registry.uri(name), "one", auth)
    next(each for each in entries if each.get("status", "").startswith("Retrying"))
    assert tags_of(registry, name) == []
    registry.switch("registry/limit", {"bytes": None})
    digest_of(entries)
    assert tags_of(registry, name) == ["one"]


def test_what_is_not_here_says_so(registry: Registry) -> None:
    text = refusal(registry.ecr.put_image, repositoryName="any", imageManifest="{}")
    assert text == "NotImplementedException: the local ECR does not have PutImage"
    auth = tuple(registry.token().values())
    answer = requests.get(f"{registry.endpoint_url}/v2/_catalog", auth=auth, timeout=10)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (405, "UNSUPPORTED")


def test_a_job_runs_from_the_registry(with_registry: LocalAWS, registry: Registry, engine: Engine) -> None:
    name = registry.repository()
    image = engine.runnable_image()
    digest = digest_of(engine.push(image, registry.uri(name), "base", registry.token()))
    engine.forget()
    driver = Driver(with_registry, image=f"{registry.uri(name)}@{digest}")
    assert driver.run(["true"])["status"] == "SUCCEEDED"
    # The engine asked, with a password; for a digest that it had pulled before it would only look.
    assert "GetManifest" in registry.calls()["registry"]


def test_without_containers_ecr_is_motos(aws: LocalAWS) -> None:
    assert client(aws, "ecr").describe_repositories()["repositories"] == []
    assert call(f"{aws.endpoint_url}/_local/registry/revoke-tokens", "POST")[0] == 404


def test_images_outlive_the_local_aws(tmp_path: Path, engine: Engine) -> None:
    image = engine.image()
    with LocalAWS(runner=RunnerKind.DOCKER, vcpus=1, state_dir=tmp_path) as aws:
        first = Registry(aws.endpoint_url)
        name = first.repository()
        digest = digest_of(engine.push(image, first.uri(name), "one", first.token()))
        (described,) = first.ecr.describe_images(repositoryName=name)["imageDetails"]
    with LocalAWS(runner=RunnerKind.DOCKER, vcpus=1, state_dir=tmp_path) as aws:
        second = Registry(aws.endpoint_url)
        assert second.host != first.host
        (repository,) = second.ecr.describe_repositories()["repositories"]
        assert repository["repositoryUri"] == second.uri(name)
        assert second.ecr.describe_images(repositoryName=name)["imageDetails"] == [described]
        assert engine.pull(second.uri(name), digest, second.token()).id == image.id
    assert processes_mentioning(str(tmp_path)) == []


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """The local AWS as a program, whose temporary files lie in `tmp_path`."""
    started = Program(tmp_path, "--json", "--runner", "docker")
    yield started
    if started.process.poll() is None:
        started.end(signal.SIGKILL)
    if started.process.stdout is not None:
        started.process.stdout.close()


def peak_memory_bytes(pid: int) -> int:
    """Return the most memory that a process ever had at once."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (kib,) = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(kib) * 1024


def test_a_layer_of_200_mb_passes_through_in_pieces(program: Program, engine: Engine) -> None:
    info = json.loads(program.line())
    registry = Registry(info["endpoint_url"])
    name, auth = registry.repository(), registry.token()
    digest_of(engine.push(engine.image(), registry.uri(name), "small", auth))
    before = peak_memory_bytes(info["pid"])
    digest = digest_of(engine.push(engine.image(200_000_000), registry.uri(name), "large", auth))
    assert engine.pull(registry.uri(name), digest, auth)
    assert peak_memory_bytes(info["pid"]) - before < 50_000_000


def test_sigkill_leaves_no_registry_and_no_files(program: Program, tmp_path: Path) -> None:
    Registry(json.loads(program.line())["endpoint_url"]).repository()
    assert any("registry" in _command(pid) for pid in processes_mentioning(str(tmp_path)))
    program.end(signal.SIGKILL)
    until(lambda: processes_mentioning(str(tmp_path)) == [])
    assert list(tmp_path.iterdir()) == []


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]


def test_a_missing_registry_is_said_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Exception, match="Debian's package docker-registry"):
        LocalAWS(runner=RunnerKind.DOCKER, vcpus=1).start()


@pytest.fixture
def registry_image(engine: Engine, tmp_path: Path) -> Iterator[None]:
    """Make the image of the registry from this machine's program, where it is not there."""
    binary = next(path for path in map(shutil.which, distribution.BINARIES) if path is not None)
    if engine.docker.images.list(name=distribution.IMAGE):
        yield
        return
    context = tmp_path / "registry-image"
    context.mkdir()
    (context / "Dockerfile").write_text(
        f"FROM {docker_engine.BASE_IMAGE}\nCOPY registry /usr/local/bin/registry\n"
    )
    shutil.copy(binary, context / "registry")
    engine.docker.images.build(path=str(context), tag=distribution.IMAGE, rm=True)
    yield
    engine.docker.images.remove(distribution.IMAGE)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_without_the_program_the_registry_is_a_container(
    registry_image: None, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    programs, temporary = tmp_path / "programs", tmp_path / "temporary"
    programs.mkdir()
    temporary.mkdir()
    docker_command = shutil.which("docker")
    if docker_command is None:
        pytest.skip("the command `docker` is not there to run the registry's image")
    (programs / "docker").symlink_to(docker_command)
    monkeypatch.setenv("PATH", str(programs))
    before = docker_engine.containers()
    program = Program(temporary, "--json", "--runner", "docker")
    registry = Registry(json.loads(program.line())["endpoint_url"])
    assert len(docker_engine.containers() - before) == 1
    name, auth = registry.repository(), registry.token()
    digest = digest_of(engine.push(engine.image(), registry.uri(name), "one", auth))
    assert engine.pull(registry.uri(name), digest, auth)
    program.end(number)
    until(lambda: docker_engine.containers() == before)
    until(lambda: list(temporary.iterdir()) == [])
    if program.process.stdout is not None:
        program.process.stdout.close()
