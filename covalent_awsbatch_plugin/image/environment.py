"""What a task's container must have, and the recipe that makes an image of it: pure, and always the same.

The recipe is a Dockerfile and the files that it copies. Its hash is the image's tag, so whatever changes the
image changes the tag, and the same needs have the same tag on every machine: there are no times, paths or
orders of files in it.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property, lru_cache
from importlib import metadata
from pathlib import Path

from ..option_types import Architecture
from ..settings import Settings
from .hashing import hash_of

PACKAGE_DIR = Path(__file__).parents[1]
PACKAGE = PACKAGE_DIR.name
RUNTIME_PARTS = ("__init__.py", "contract/*.py", "runtime/*.py")
"""What of this package runs in the container."""

LABEL = "covalent-awsbatch.environment"
"""The image's label with its Environment as JSON."""

VENV = "/opt/covalent-awsbatch"
USER = "covalent"
USER_ID = 10001
"""Outside the range that base images give to users of their own."""

PIP_INSTALL = (
    "python3 -m pip --no-input --no-cache-dir --disable-pip-version-check install --progress-bar off"
)

PLATFORMS: dict[Architecture, str] = {"X86_64": "linux/amd64", "ARM64": "linux/arm64"}


@dataclass(frozen=True)
class Environment:
    """What a container must have to run a task. `context` is the hash of a build context, or empty."""

    python: str
    cloudpickle: str
    obstore: str
    covalent: str
    """Empty where the image is to have none."""
    base_image: str
    context: str
    requirements: tuple[str, ...]
    pip_packages: tuple[str, ...]
    """What the task's own DepsPip asks for."""
    cpu_architecture: Architecture

    def to_json(self) -> str:
        """Return the environment as one line."""
        return json.dumps(asdict(self), sort_keys=True)


def minor(version: str) -> str:
    """Return the first two parts of a version of Python."""
    return ".".join(version.split(".")[:2])


@cache
def _installed(package: str) -> str:
    """Return a package's version; it is read once, for every task asks."""
    return metadata.version(package)


def environment(
    settings: Settings,
    *,
    python_version: str,
    cloudpickle_version: str,
    pip_packages: Sequence[str] = (),
    context_hash: str = "",
) -> Environment:
    """Return what a task needs that these versions have pickled.

    obstore and Covalent are those of this process, `pip_packages` normalised lines.
    """
    python = minor(python_version)
    return Environment(
        python=python,
        cloudpickle=cloudpickle_version,
        obstore=_installed("obstore"),
        covalent=_installed("covalent") if settings.install_covalent else "",
        base_image="" if context_hash else settings.base_image.replace("{python}", python),
        context=context_hash,
        requirements=tuple(settings.requirements),
        pip_packages=tuple(line for line in pip_packages if line not in settings.requirements),
        cpu_architecture=settings.cpu_architecture,
    )


@dataclass(frozen=True)
class Recipe:
    """A Dockerfile and what it copies, by path in the build context."""

    environment: Environment
    files: dict[str, bytes]

    @property
    def dockerfile(self) -> str:
        """Return the Dockerfile's text."""
        return self.files["Dockerfile"].decode()

    @cached_property
    def tag(self) -> str:
        """Return the image's tag, such as 3.11-0123456789abcdef: it changes with whatever the image holds.

        What it is made for stands in the Dockerfile's labels, so that another processor is another tag.
        """
        parts = (part for path in sorted(self.files) for part in (path.encode(), self.files[path]))
        return f"{self.environment.python}-{hash_of(parts)}"

    def archive(self) -> io.BytesIO:
        """Return the build context as the Docker engine takes it."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for path in sorted(self.files):
                member = tarfile.TarInfo(path)
                member.size = len(self.files[path])
                tar.addfile(member, io.BytesIO(self.files[path]))
        packed.seek(0)
        return packed


@lru_cache
def recipe(wanted: Environment) -> Recipe:
    """Return how the image of an environment is made."""
    files = dict(runtime_files())
    for name, lines in (("requirements.txt", wanted.requirements), ("pip.txt", wanted.pip_packages)):
        if lines:
            files[name] = "".join(f"{line}\n" for line in lines).encode()
    files["Dockerfile"] = _dockerfile(wanted).encode()
    return Recipe(wanted, files)


@cache
def runtime_files() -> dict[str, bytes]:
    """Return the source files of the runtime, by their paths below this package's parent."""
    found = sorted(path for part in RUNTIME_PARTS for path in PACKAGE_DIR.glob(part))
    return {
        path.relative_to(PACKAGE_DIR.parent).as_posix(): path.read_bytes().replace(b"\r\n", b"\n")
        for path in found
    }


def _dockerfile(wanted: Environment) -> str:
    """Return the Dockerfile: layers from what seldom changes to what often does."""
    from_image = wanted.base_image or context_image(wanted)
    steps = [
        f"FROM {from_image}",
        "USER root",
        _run(_check_python(wanted)),
        # Apart from the base's own Python, which may forbid pip, with all that the base has installed.
        _run(
            f"python3 -m venv --without-pip --system-site-packages {VENV}",
            # What calls `pip` in the container, as DepsPip does, must not get the base's.
            f"printf '#!/bin/sh\\nexec python3 -m pip \"$@\"\\n' > {VENV}/bin/pip",
            f"chmod +x {VENV}/bin/pip",
            f"echo '{USER}:x:{USER_ID}:{USER_ID}::/home/{USER}:/bin/sh' >> /etc/passwd",
            f"mkdir -p /home/{USER}",
            f"chown {USER_ID}:{USER_ID} /home/{USER}",
        ),
        f"ENV PATH={VENV}/bin:$PATH HOME=/home/{USER} USER={USER}",
        _run(f"{PIP_INSTALL} cloudpickle=={wanted.cloudpickle} obstore=={wanted.obstore}"),
        *_covalent_steps(wanted),
        f"COPY {PACKAGE} {VENV}/lib/python{wanted.python}/site-packages/{PACKAGE}",
        # The task's user may not write there, and compiling takes time at every start.
        _run(f"python3 -m compileall -q {VENV}/lib/python{wanted.python}/site-packages/{PACKAGE}"),
        *_pip_steps("requirements.txt", wanted.requirements),
        *_pip_steps("pip.txt", wanted.pip_packages),
        _labels(wanted),
        # Batch can override a command and never an entrypoint: the base's would stand in the way.
        "ENTRYPOINT []",
        'CMD ["python", "-m", "covalent_awsbatch_plugin.runtime"]',
        f"WORKDIR /home/{USER}",
        f"USER {USER_ID}:{USER_ID}",
    ]
    return "\n".join(steps) + "\n"


def _run(*commands: str) -> str:
    return "RUN " + " && ".join(commands)


def _check_python(wanted: Environment) -> str:
    return (
        "python3 -c \"import sys; found = '%d.%d' % sys.version_info[:2]; "
        f"found == '{wanted.python}' or "
        f"sys.exit(f'{WRONG_PYTHON} {{found}}, the task was pickled by Python {wanted.python}')\""
    )


WRONG_PYTHON = "ERROR: the base image has Python"
"""What the first step of a build says where the base image does not fit; worded like pip's errors."""


def _covalent_steps(wanted: Environment) -> list[str]:
    """Install Covalent without its server, which a container has no use for.

    That variant asks for an earlier cloudpickle than the one that pickles the tasks.
    """
    if wanted.covalent == "":
        return []
    return [
        _run(
            f"COVALENT_SDK_ONLY=1 {PIP_INSTALL} --no-binary covalent covalent=={wanted.covalent}",
            f"{PIP_INSTALL} --no-deps cloudpickle=={wanted.cloudpickle}",
        )
    ]


def _pip_steps(name: str, lines: tuple[str, ...]) -> list[str]:
    if not lines:
        return []
    path = f"{VENV}/{name}"
    return [f"COPY {name} {path}", _run(f"{PIP_INSTALL} --requirement {path}")]


def _labels(wanted: Environment) -> str:
    labels = {
        LABEL: wanted.to_json(),
        "org.opencontainers.image.title": "covalent-awsbatch environment",
        "org.opencontainers.image.base.name": wanted.base_image,
    }
    written = {name: json.dumps(value).replace("$", "\\$") for name, value in labels.items() if value}
    return "LABEL " + " ".join(f"{name}={value}" for name, value in written.items())


def context_image(wanted: Environment) -> str:
    """Return the name under which the engine keeps the image of the user's own Dockerfile."""
    return f"covalent-awsbatch-context:{wanted.context}-{wanted.cpu_architecture.lower()}"
