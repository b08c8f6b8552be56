"""Requirement lines mean the same on every machine, in whatever order they were written."""

from __future__ import annotations

import covalent as ct
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_awsbatch_plugin.errors import SettingsError
from covalent_awsbatch_plugin.requirements import UnusableRequirement, are_compatible, lines_of, normalised

AWSBatchExecutor = ct.executor.AWSBatchExecutor

names = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
requirements = st.builds(
    "{}{}{}".format,
    names,
    st.sampled_from(["", "==1.0", ">=2,<3", "~=1.4"]),
    st.sampled_from(["", "; python_version < '3.12'", "  # a comment"]),
)


@given(st.lists(requirements), st.randoms())
def test_order_comments_and_blank_lines_do_not_matter(lines, random):
    shuffled = ["", "# nothing", *lines, *lines]
    random.shuffle(shuffled)
    assert normalised(shuffled) == normalised(lines)


@given(st.lists(requirements))
def test_normalised_lines_stay_as_they_are(lines):
    once = normalised(lines)
    assert normalised(once) == once


def test_options_come_first_in_their_own_order():
    lines = ["torch", "--extra-index-url=https://b.example/whl", "-i https://a.example", "numpy"]
    assert normalised(lines) == [
        "--extra-index-url https://b.example/whl",
        "-i https://a.example",
        "numpy",
        "torch",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "numpy",
        "numpy==2.1 ; python_version >= '3.10'",
        "scikit-learn[alldeps]>=1",
        "git+https://github.com/org/repo@v1#egg=repo",
        "git+ssh://git@github.com/org/repo",
        "repo @ git+https://github.com/org/repo",
        "https://example.com/a-1.0-py3-none-any.whl",
        "--pre",
        "--find-links https://example.com/wheels",
    ],
)
def test_what_means_the_same_everywhere_is_taken(line):
    assert len(normalised([line])) == 1


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("-r more.txt", "-r is no option"),
        ("-e .", "-e is no option"),
        ("--constraint c.txt", "--constraint is no option"),
        ("--find-links /wheels", "must name an address"),
        ("./package", "no requirement"),
        ("package @ file:///package", "names a path"),
        ("numpy pandas", "no requirement"),
    ],
)
def test_what_does_not_is_refused_in_one_sentence(line, says):
    with pytest.raises(UnusableRequirement, match=says):
        normalised([line])
    with pytest.raises(SettingsError, match=says) as refusal:
        AWSBatchExecutor(requirements=["numpy", line])
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "line",
    [
        "--extra-index-url https://somebody:s3cret@pypi.example/simple",
        "--index-url=https://s3cret@pypi.example/simple",
        "git+https://s3cret@github.com/org/repo",
        "a @ https://x:s3cret@example.com/a.whl",
    ],
)
def test_a_secret_is_refused_and_not_shown(line):
    with pytest.raises(SettingsError, match="holds a user name or password") as refusal:
        AWSBatchExecutor(requirements=[line])
    assert "s3cret" not in str(refusal.value)


def test_a_file_travels_as_its_lines(tmp_path):
    path = tmp_path / "requirements.txt"
    path.write_text("pandas\n# why\nnumpy \\\n  ==2.1\n")
    assert AWSBatchExecutor(requirements=str(path)).requirements == ["numpy==2.1", "pandas"]


def test_a_missing_file_is_one_sentence():
    with pytest.raises(SettingsError, match=r"cannot be read \(No such file.*a list such as"):
        AWSBatchExecutor(requirements="numpy")


@pytest.mark.parametrize("value", [None, "", []])
def test_nothing_is_no_requirement(value):
    assert AWSBatchExecutor(requirements=value).requirements == []


def test_two_wishes_for_one_package_do_not_fit_into_one_image():
    assert are_compatible([["numpy==1", "pandas"], ["numpy==1"], ["--pre"]])
    assert not are_compatible([["numpy==1"], ["NumPy==2"]])


def test_continued_lines_are_one():
    assert lines_of("a \\\n==1\nb") == ["a  ==1", "b"]
