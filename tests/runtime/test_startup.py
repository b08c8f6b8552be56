from __future__ import annotations

import subprocess
import sys

import pytest

from covalent_awsbatch_plugin.contract import EXIT_RUNTIME_FAULT, EXIT_VALUE


@pytest.mark.parametrize("module", ["covalent", "boto3", "botocore", "docker", "aiobotocore", "obstore"])
def test_process_of_the_function_has_not_imported(jobs, module):
    job = jobs.call(lambda: (module in sys.modules, "cloudpickle" in sys.modules))
    assert job.only.value == (False, True)


def test_start_up_imports_the_standard_library_cloudpickle_and_obstore_only(jobs):
    """Of both processes: their modules, imported into one."""
    names = "job, call, worker"
    code = (
        f"import sys; before = set(sys.modules); from covalent_awsbatch_plugin.runtime import {names}; "
        "print(*{each.partition('.')[0] for each in set(sys.modules) - before})"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], env=jobs.environment, check=True, capture_output=True, text=True
    ).stdout
    foreign = set(output.split()) - set(sys.stdlib_module_names)
    assert foreign == {"covalent_awsbatch_plugin", "cloudpickle", "obstore"}


def test_container_without_cloudpickle_says_so(jobs, tmp_path):
    package = tmp_path / "blocked" / "cloudpickle"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('not here')\n")
    jobs.environment["PYTHONPATH"] = f"{package.parent}:{jobs.environment['PYTHONPATH']}"
    job = jobs.call(lambda: 1)
    assert job.exit_code != EXIT_VALUE
    assert "has no cloudpickle" in job.only.failure.message


def test_container_without_obstore_says_so_in_one_line(jobs, tmp_path):
    package = tmp_path / "blocked" / "obstore"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('not here')\n")
    jobs.environment["PYTHONPATH"] = f"{package.parent}:{jobs.environment['PYTHONPATH']}"
    job = jobs.call(lambda: 1)
    assert (job.exit_code, job.outcomes) == (EXIT_RUNTIME_FAULT, {})
    assert job.stderr == "covalent-awsbatch: The image has no obstore that the runtime can use: not here\n"


def test_function_may_use_obstore_itself(jobs):
    def work():
        import obstore
        from obstore.store import MemoryStore

        store = MemoryStore()
        obstore.put(store, "key", b"content")
        return bytes(obstore.get(store, "key").bytes())

    job = jobs.call(work)
    assert job.only.value == b"content", job.stderr
