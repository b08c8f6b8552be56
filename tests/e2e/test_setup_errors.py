"""What is not as it must be is said in one sentence, before anything is submitted where that can be known."""

from __future__ import annotations

import re

import covalent as ct
import pytest
from covalent._shared_files.exceptions import TaskRuntimeError
from covalent._workflow.transportable_object import TransportableObject

from tests.e2e.test_run import assembled, call, executor_for


@pytest.fixture
def no_credentials(tmp_path):
    path = tmp_path / "empty"
    path.write_text("")
    return str(path)


def one_sentence(text: str) -> bool:
    return "\n" not in text.strip() and "Traceback" not in text


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"s3_bucket_name": "no-such-bucket"}, r"S3 bucket 'no-such-bucket' does not exist.*s3_bucket_name"),
        ({"batch_queue": "no-such-queue"}, r"job queue 'no-such-queue' does not exist.*batch_queue"),
        ({"batch_job_role_name": "NoRole"}, r"IAM role 'NoRole' does not exist.*batch_job_role_name"),
        ({"batch_execution_role_name": "NoRole"}, r"'NoRole' does not exist.*batch_execution_role_name"),
        ({"credentials": "/no/such/file"}, r"credentials file '/no/such/file' is missing.*credentials"),
        ({"profile": "nobody"}, r"\(nobody\) could not be found.*profile"),
        ({"endpoint_url": "http://127.0.0.1:9"}, r"AWS did not answer \(.*127\.0\.0\.1:9.*endpoint_url"),
        ({"region": ""}, r"No AWS region is known.*region"),
    ],
)
async def test_a_wrong_name_is_said_before_anything_is_submitted(aws, options, says):
    before = aws.submitted()
    with pytest.raises(TaskRuntimeError) as error:
        await call(executor_for(aws, **options), lambda: 1, dispatch_id="wrong")
    assert re.search(says, str(error.value))
    assert one_sentence(str(error.value))
    assert aws.submitted() == before


async def test_no_credentials_at_all(aws, no_credentials):
    with pytest.raises(TaskRuntimeError, match="No AWS credentials were found") as error:
        await call(executor_for(aws, credentials=no_credentials, profile=""), lambda: 1, dispatch_id="wrong")
    assert one_sentence(str(error.value))


async def test_a_disabled_queue(aws):
    aws.batch.create_job_queue(
        jobQueueName="disabled",
        state="DISABLED",
        priority=1,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "covalent-awsbatch-local"}],
    )
    with pytest.raises(TaskRuntimeError, match="'disabled' is DISABLED: enable it"):
        await call(executor_for(aws, batch_queue="disabled"), lambda: 1, dispatch_id="wrong")


async def test_a_failed_check_is_made_again(aws):
    executor = executor_for(aws, s3_bucket_name="soon-to-be-made")
    with pytest.raises(TaskRuntimeError, match="does not exist"):
        await call(executor, lambda: 1, dispatch_id="again")
    aws.s3.create_bucket(Bucket="soon-to-be-made")
    assert (await call(executor, lambda: 1, dispatch_id="again")).get_deserialized() == 1


async def test_another_python_than_the_containers_is_one_sentence(aws):
    function = assembled(lambda: 1)
    carried: TransportableObject = function.args[0]
    carried._header = {**carried.header, "py_version": "3.9.1"}
    with pytest.raises(TaskRuntimeError) as error:
        await executor_for(aws).run(
            function, [], {}, {"dispatch_id": "python", "node_id": 0, "results_dir": ""}
        )
    headline = str(error.value).split("\n")[0]
    assert "Python 3.9.1" in headline
    assert "use an image" in headline.lower()
    assert "Traceback" not in str(error.value)


def test_the_server_shows_the_sentence_as_the_nodes_error(dispatch, aws):
    @ct.electron(executor=ct.executor.AWSBatchExecutor(batch_queue="no-such-queue"))
    def never():
        return 1

    node = dispatch(ct.lattice(lambda: never(), executor="local", workflow_executor="local")).node("never")
    assert node["error"] == (
        "The job queue 'no-such-queue' does not exist in us-east-1: create it, or correct batch_queue. "
        "`covalent-awsbatch doctor` looks at the whole set-up."
    )
