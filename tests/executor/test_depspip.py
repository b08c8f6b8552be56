"""What of Covalent's hooks is known to be an installation, and goes into the image instead."""

from __future__ import annotations

import covalent as ct
import pytest

from covalent_awsbatch_plugin.covalent_assets import call_from_objects
from covalent_awsbatch_plugin.payload import Group, without_pip
from tests.e2e.test_run import assembled


def call(*deps, node_id=0):
    """A call as `run()` gets it, with hooks made from Covalent's own objects."""
    return call_from_objects(node_id, assembled(lambda: 1, [each.apply() for each in deps]), [], {})


def pip_packages(*deps):
    return [hook.pip_packages for hook in call(*deps).call_before]


def test_a_list_and_a_file_of_packages_are_known(tmp_path):
    path = tmp_path / "requirements.txt"
    path.write_text("# why\npandas\nnumpy==2.1\n")
    assert pip_packages(ct.DepsPip(["pandas", "numpy == 2.1"])) == [("numpy==2.1", "pandas")]
    assert pip_packages(ct.DepsPip(reqs_path=str(path))) == [("numpy==2.1", "pandas")]


@pytest.mark.parametrize(
    "deps",
    [
        ct.DepsPip(["./package"]),
        ct.DepsPip(["--find-links", "/wheels", "tiny"]),
        ct.DepsPip(["https://user:password@example.com/a.whl"]),
        ct.DepsBash(["pip install pandas"]),
        ct.DepsCall(print, args=[["pandas"], ""]),
    ],
)
def test_what_no_image_can_hold_or_is_something_else_stays_a_hook(deps):
    assert pip_packages(deps) == [None]
    group = Group("dispatch", 0, [call(deps)])
    assert without_pip(group) == (group, ())


def test_only_installations_leave_the_hooks():
    group = Group("dispatch", 0, [call(ct.DepsBash(["true"]), ct.DepsPip(["pandas"]))])
    rest, packages = without_pip(group)
    assert packages == ("pandas",)
    assert [hook.pip_packages for hook in rest.calls[0].call_before] == [None]


def test_a_groups_packages_go_into_one_image_unless_they_contradict_each_other():
    one, two = ct.DepsPip(["pandas==2"]), ct.DepsPip(["numpy", "pandas==2"])
    _, packages = without_pip(Group("dispatch", 0, [call(one), call(two, node_id=1)]))
    assert packages == ("numpy", "pandas==2")
    other = Group("dispatch", 0, [call(one), call(ct.DepsPip(["pandas==1"]), node_id=1)])
    assert without_pip(other) == (other, ())
