from __future__ import annotations

import pytest

from covalent_awsbatch_plugin.contract import Task
from covalent_awsbatch_plugin.runtime.messages import Hello
from covalent_awsbatch_plugin.runtime.versions import mismatch


def _task(python: str, cloudpickle: str) -> Task:
    return Task(node_id=0, function_key="f", python_version=python, cloudpickle_version=cloudpickle)


@pytest.mark.parametrize(
    ("python", "cloudpickle"), [("3.11.9", "3.1.2"), ("3.11.0rc1", "3.0.0"), ("3.11", "3")]
)
def test_patch_releases_fit(python, cloudpickle):
    assert mismatch(_task(python, cloudpickle), Hello("3.11.7", "3.1.2")) is None


@pytest.mark.parametrize("python", ["3.12.1", "3.1.1", "4.11.0"])
def test_other_minor_versions_of_python_do_not(python):
    sentence = mismatch(_task(python, "3.1.2"), Hello("3.11.7", "3.1.2"))
    assert sentence is not None
    assert f"by Python {python}" in sentence
    assert "runs Python 3.11.7" in sentence


def test_other_major_versions_of_cloudpickle_do_not():
    sentence = mismatch(_task("3.11.7", "3.1.2"), Hello("3.11.7", "2.2.1"))
    assert sentence is not None
    assert "pickled by cloudpickle 3.1.2" in sentence
    assert "has cloudpickle 2.2.1" in sentence


def test_container_without_cloudpickle():
    sentence = mismatch(_task("3.11.7", "3.1.2"), Hello("3.11.7", None))
    assert sentence is not None
    assert "has no cloudpickle" in sentence
