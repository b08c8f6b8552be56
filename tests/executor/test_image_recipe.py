"""The image's tag: what changes it, what does not, and that it is the same on every machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import covalent_awsbatch_plugin
from covalent_awsbatch_plugin.errors import ImageError
from covalent_awsbatch_plugin.image import context
from covalent_awsbatch_plugin.image.environment import LABEL, Environment, environment, recipe
from covalent_awsbatch_plugin.settings import Settings

WANTED = Environment(
    python="3.11",
    cloudpickle="3.1.2",
    obstore="0.12.1",
    covalent="0.240.0",
    base_image="python:3.11-slim",
    context="",
    requirements=("numpy==2.1",),
    pip_packages=("pandas",),
    cpu_architecture="X86_64",
)

CHANGES = {
    "python": "3.12",
    "cloudpickle": "3.0.0",
    "obstore": "0.11.0",
    "covalent": "",
    "base_image": "python:3.11",
    "context": "0123456789abcdef",
    "requirements": ("numpy==2.2",),
    "pip_packages": (),
    "cpu_architecture": "ARM64",
}


def tag(wanted: Environment) -> str:
    return recipe(wanted).tag


def environment_of(**options) -> Environment:
    settings = Settings(**options)
    return environment(settings, python_version="3.11.7", cloudpickle_version="3.1.2")


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_the_image_holds_changes_the_tag(name):
    assert set(CHANGES) == set(Environment.__dataclass_fields__)
    assert tag(replace(WANTED, **{name: CHANGES[name]})) != tag(WANTED)


@given(st.permutations(["numpy==2.1", "pandas>=2", "--pre", "scikit-learn"]))
def test_the_order_of_requirements_does_not(lines):
    one = environment_of(requirements=lines)
    other = environment_of(requirements=["--pre", "numpy==2.1", "pandas>=2", "scikit-learn"])
    assert tag(one) == tag(other)


def test_neither_does_what_differs_from_task_to_task():
    other = environment_of(vcpu=64, memory=100, time_limit=999, batch_queue="big", s3_bucket_name="other")
    assert tag(other) == tag(environment_of())


def test_the_patch_release_of_python_does_not():
    settings = Settings()
    versions = ["3.11.0", "3.11.9"]
    tags = {tag(environment(settings, python_version=v, cloudpickle_version="3.1.2")) for v in versions}
    assert len(tags) == 1


def test_the_tag_is_the_same_elsewhere_and_later(tmp_path):
    """Another place, another time, other rights and another order of files in the directory."""
    package = Path(covalent_awsbatch_plugin.__file__).parent
    copy = tmp_path / "elsewhere" / package.name
    for path in sorted(package.rglob("*.py"), reverse=True):
        target = copy / path.relative_to(package)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        os.utime(target, (1, 1))
        target.chmod(0o600)
    code = (
        f"from covalent_awsbatch_plugin.image.environment import *;print(PACKAGE_DIR, recipe({WANTED!r}).tag)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=copy.parent,
        env={**os.environ, "PYTHONPATH": str(copy.parent), "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert answer == [str(copy), tag(WANTED)]


def test_the_dockerfile_holds_no_path_of_this_machine():
    text = recipe(WANTED).dockerfile
    assert str(Path.home()) not in text
    assert str(Path(covalent_awsbatch_plugin.__file__).parents[1]) not in text


def test_a_task_without_covalent_needs_none():
    assert "install --progress-bar off --no-binary covalent" in recipe(WANTED).dockerfile
    assert "covalent==" not in recipe(replace(WANTED, covalent="")).dockerfile


def test_the_label_says_what_the_image_was_made_from():
    line = next(each for each in recipe(WANTED).dockerfile.splitlines() if each.startswith("LABEL"))
    quoted = line.split(f"{LABEL}=")[1].split(" org.")[0]
    assert json.loads(json.loads(quoted))["requirements"] == ["numpy==2.1"]


def test_only_the_runtime_travels():
    paths = set(recipe(WANTED).files)
    assert "covalent_awsbatch_plugin/runtime/worker.py" in paths
    assert not any("local" in path or "session" in path for path in paths)


@pytest.fixture
def build_context(tmp_path) -> Path:
    directory = tmp_path / "context"
    (directory / "data").mkdir(parents=True)
    (directory / "Dockerfile").write_text("FROM python:3.11-slim\nCOPY data /data\n")
    (directory / "data" / "table.csv").write_text("1,2\n")
    (directory / ".dockerignore").write_text("# notes\n*.log\n")
    return directory


def test_a_build_contexts_digest_is_of_its_contents(build_context, tmp_path):
    before = context.digest(build_context)
    copy = shutil.copytree(build_context, tmp_path / "copy", copy_function=shutil.copyfile)
    (copy / "run.log").write_text("ignored")
    os.utime(copy / "Dockerfile", (1, 1))
    assert context.digest(copy) == before
    (copy / "data" / "table.csv").write_text("1,3\n")
    assert context.digest(copy) != before


def test_a_renamed_or_executable_file_changes_it(build_context):
    before = context.digest(build_context)
    (build_context / "data" / "table.csv").chmod(0o755)
    executable = context.digest(build_context)
    (build_context / "data" / "table.csv").rename(build_context / "data" / "list.csv")
    assert len({before, executable, context.digest(build_context)}) == 3


def test_a_build_context_without_a_dockerfile_is_one_sentence(tmp_path):
    with pytest.raises(ImageError, match="has no Dockerfile"):
        context.digest(tmp_path)
