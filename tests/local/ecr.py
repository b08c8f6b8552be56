"""ECR and its registry as tests use them: a real engine, the API, and what pushes end with."""

from __future__ import annotations

import base64
import io
import json
import os
import tarfile
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import docker
import pytest
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator
from docker.errors import ImageNotFound

from tests import docker_engine

from .driving import call, client

Auth = dict[str, str]
Entry = dict[str, Any]


class Engine:
    """The engine that pushes and pulls, and the images that a test made in it."""

    def __init__(self) -> None:
        self.docker = docker.from_env()
        self._names: list[str] = []

    def image(self, size_bytes: int = 1000) -> Any:
        """Make an image of one layer that compresses to no less than its size."""
        name = f"registry-test-{uuid4().hex}:made"
        self.docker.api.import_image_from_data(layer(size_bytes), *name.split(":"))
        self._names.append(name)
        return self.docker.images.get(name)

    def runnable_image(self) -> Any:
        """Make an image that programs run in, with a digest that this engine has never pulled."""
        name = f"registry-test-{uuid4().hex}:runnable"
        dockerfile = f"FROM {docker_engine.BASE_IMAGE}\nLABEL made={name}\n"
        image, _ = self.docker.images.build(fileobj=io.BytesIO(dockerfile.encode()), tag=name, rm=True)
        self._names.append(name)
        return image

    def push(self, image: Any, uri: str, tag: str, auth: Auth) -> Iterator[Entry]:
        """Push an image and return the entries of the stream."""
        image.tag(uri, tag)
        self._names.append(f"{uri}:{tag}")
        entries: Iterator[Entry] = self.docker.api.push(uri, tag, stream=True, decode=True, auth_config=auth)
        return entries

    def pull(self, uri: str, reference: str, auth: Auth) -> Any:
        """Pull an image by tag or digest, after forgetting all names of it."""
        self.forget()
        separator = "@" if ":" in reference else ":"
        image = self.docker.images.pull(f"{uri}{separator}{reference}", auth_config=auth)
        self._names.append(f"{uri}{separator}{reference}")
        return image

    def forget(self) -> None:
        """Remove the images that were made or pulled."""
        for name in self._names:
            try:
                self.docker.images.remove(name, force=True)
            except ImageNotFound:
                continue
        self._names.clear()

    def close(self) -> None:
        self.forget()
        self.docker.close()


def layer(size_bytes: int) -> bytes:
    """Return an archive of one file that does not compress."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo("random")
        member.size = size_bytes
        tar.addfile(member, io.BytesIO(os.urandom(size_bytes)))
    return archive.getvalue()


class Registry:
    """ECR as its users see it."""

    def __init__(self, endpoint_url: str, region: str = "us-east-1") -> None:
        self.endpoint_url = endpoint_url
        self.host = endpoint_url.removeprefix("http://")
        self.ecr = client(SimpleNamespace(endpoint_url=endpoint_url, region=region), "ecr")
        self.ecr.meta.events.register("after-call.ecr", check_response)

    def repository(self, **request: Any) -> str:
        """Create a repository and return its name."""
        name = f"room/{uuid4().hex}"
        self.ecr.create_repository(repositoryName=name, **request)
        return name

    def token(self) -> Auth:
        """Return what an engine needs to push."""
        (data,) = self.ecr.get_authorization_token()["authorizationData"]
        username, password = base64.b64decode(data["authorizationToken"]).decode().split(":")
        return {"username": username, "password": password}

    def uri(self, name: str) -> str:
        return f"{self.host}/{name}"

    def switch(self, path: str, body: Any = None) -> tuple[int, Any]:
        return call(f"{self.endpoint_url}/_local/{path}", "POST", body)

    def calls(self) -> dict[str, dict[str, int]]:
        return dict(call(f"{self.endpoint_url}/_local/calls", "GET")[1])


def check_response(model: Any, http_response: Any, **_: Any) -> None:
    """Hold a response against botocore's validator, which takes a request's limits for a response's."""
    if http_response.status_code == 200:
        report = ParamValidator().validate(json.loads(http_response.content), model.output_shape)
        lines = report.generate_report().splitlines()
        assert [line for line in lines if not line.startswith("Invalid length for parameter imageIds")] == []


def digest_of(entries: Iterator[Entry]) -> str:
    """Return the digest that a push ended with."""
    seen = list(entries)
    assert [each for each in seen if "error" in each] == []
    return next(str(each["aux"]["Digest"]) for each in seen if "aux" in each)


def error_of(entries: Iterator[Entry]) -> str:
    """Return the error that a push ended with."""
    (error,) = [str(each["error"]) for each in entries if "error" in each]
    return error


def tags_of(registry: Registry, name: str) -> list[str]:
    listed = registry.ecr.list_images(repositoryName=name)["imageIds"]
    return sorted(each.get("imageTag", "") for each in listed)


def refusal(action: Any, **request: Any) -> str:
    """Return the code and the text of the error that a call of ECR's ends with."""
    with pytest.raises(ClientError) as caught:
        action(**request)
    error = caught.value.response["Error"]
    return f"{error['Code']}: {error['Message']}"
