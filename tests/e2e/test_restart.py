"""The server is killed while a job runs; afterwards `receive()` is the way back in."""

from __future__ import annotations

import json
import urllib.request

import covalent as ct


def tell_to_receive(server, dispatch_id: str, node_id: int) -> None:
    """Ask the server, through its REST API, to call `receive()` for a node."""
    request = urllib.request.Request(
        f"{server.url}/api/v2/dispatches/{dispatch_id}/electrons/{node_id}/job",
        data=json.dumps({"recover": True}).encode(),
        headers={"Content-Type": "application/json"},
        method="PUT",
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200


def patient_workflow():
    @ct.electron(executor="awsbatch")
    def patient(x):
        import time

        print("still here", flush=True)
        time.sleep(4)
        if x == 0:
            raise ValueError("zero")
        return x

    @ct.electron(executor="awsbatch")
    def double(x):
        return 2 * x

    return ct.lattice(lambda x: double(patient(x)), executor="local", workflow_executor="local")


def test_a_workflow_goes_on_after_its_server_was_killed(dispatch, covalent, aws):
    good, bad = dispatch(patient_workflow(), 21), dispatch(patient_workflow(), 0)
    for run in (good, bad):
        aws.wait_for_job(run.id, "RUNNING")
    covalent.kill()
    covalent.start()
    assert good.status() == "RUNNING"
    nodes = ct.get_result(good.id).get_all_node_results()
    node_id = next(node["node_id"] for node in nodes if node["node_name"] == "patient")
    for run in (good, bad):  # one of them while its job still runs: receive() follows it to its end
        tell_to_receive(covalent, run.id, node_id)
    assert good.value() == 42
    assert good.node("patient")["stdout"] == "still here\n"
    node = bad.node("patient")
    assert (str(node["status"]), node["error"].split("\n")[0]) == ("FAILED", "ValueError: zero")
    assert len(aws.jobs_of(good.id)) == 2


def test_a_job_is_cancelled_after_a_restart(dispatch, covalent, aws):
    @ct.electron(executor="awsbatch")
    def sleep():
        import time

        time.sleep(300)

    run = dispatch(ct.lattice(lambda: sleep(), executor="local", workflow_executor="local"))
    aws.wait_for_job(run.id, "RUNNING")
    covalent.kill()
    covalent.start()
    ct.cancel(run.id)
    job = aws.wait_for_job(run.id, "FAILED")
    assert job["statusReason"] == "cancelled in Covalent"
    tell_to_receive(covalent, run.id, 0)
    assert str(run.result().status) == "CANCELLED"
