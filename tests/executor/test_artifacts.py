"""What may go of a dispatch, for any objects in the bucket and anything that is known of its tasks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from covalent_awsbatch_plugin import contract
from covalent_awsbatch_plugin.artifacts import Fate, Plan, Task

DISPATCH = "d-1"
NODES = 6
"""Few, so that keys and tasks meet; the last ones are never known."""

numbers = st.integers(0, NODES - 1)
sha256s = st.sampled_from(["0" * 64, "f" * 64])
of_tasks = st.one_of(
    st.builds(contract.outcome_key, st.just(DISPATCH), numbers, st.integers(1, 31)),
    st.builds(
        contract.input_key, st.just(DISPATCH), numbers, st.sampled_from(["0", "_name", "_имя", "_a/b"])
    ),
    st.builds(
        contract.detached_key,
        *(st.just(DISPATCH), numbers, st.integers(1, 31), st.just("value"), st.just("0a1b")),
    ),
)
packs = st.builds(contract.pack_key, st.just(DISPATCH), numbers, st.integers(0, 2))
functions = st.builds(contract.function_key, st.just(DISPATCH), sha256s)
claims = st.builds(contract.claim_key, st.just(DISPATCH), numbers, st.integers(0, 2))
others = st.sampled_from([f"covalent-awsbatch/{DISPATCH}/{name}" for name in ("new/0", "outcomes/odd", "x")])
keys = st.sets(of_tasks | packs | functions | claims | others, max_size=20)

tasks = st.dictionaries(
    st.integers(0, NODES - 2),
    st.builds(
        Task,
        group_id=st.integers(0, NODES - 2),
        keep=st.sampled_from(["all", "failed", "none"]),
        is_own=st.booleans(),
        untaken=st.integers(0, 2),
        fate=st.sampled_from(Fate),
    ),
)


def plan_of(found: set[str], known: dict[int, Task]) -> Plan:
    plan = Plan(DISPATCH, known)
    for key in sorted(found):
        plan.add(key)
    return plan


def node_of(key: str) -> int:
    return int(key.split("/")[3])


def is_wanted(task: Task) -> bool:
    """Tell, as docs/reliability.md has it, whether somebody needs a task's objects."""
    is_open = task.untaken > 0 or task.fate is Fate.UNKNOWN
    return is_open or task.keep == "all" or (task.keep == "failed" and task.fate is Fate.NO_VALUE)


def stay_together(known: dict[int, Task]) -> set[int]:
    """Return the nodes of the groups that somebody needs something of."""
    groups = {task.group_id for task in known.values() if is_wanted(task)}
    return {node_id for node_id, task in known.items() if task.group_id in groups}


@given(keys, tasks)
def test_nothing_goes_of_a_task_that_is_open_unknown_or_to_be_kept(found, known):
    plan = plan_of(found, known)
    going = {*plan.of_tasks, *plan.claims}
    staying = {key for key in found if key not in going}
    wanted = stay_together(known)
    assert {node_of(key) for key in going} <= set(known) - wanted
    assert going | set(plan.shared) <= found
    assert {key for key in found if key.split("/")[2] in ("new", "x")} <= staying


@given(st.sets(of_tasks, max_size=20), tasks)
def test_all_of_a_task_goes_that_was_taken_and_is_not_to_be_kept(found, known):
    done = set(known) - stay_together(known)
    foreign = {node_id for node_id, task in known.items() if not task.is_own}
    assert set(plan_of(found, known).of_tasks) == {
        key for key in found if node_of(key) in done and not ("/inputs/" in key and node_of(key) in foreign)
    }


@given(keys, tasks)
def test_what_tasks_share_goes_only_when_nobody_is_left_who_needs_it(found, known):
    plan = plan_of(found, known)
    if plan.shared or plan.claims:
        assert not stay_together(known)
        left = found - set(plan.of_tasks) - set(plan.shared) - set(plan.claims)
        assert {key for key in left if key.split("/")[2] not in ("new", "x")} == set()
        named_by = {contract.group_of_pack(key) for key in plan.shared if "/packs/" in key}
        assert named_by <= {task.group_id for task in known.values()}


@given(st.sets(of_tasks | packs | functions | claims, max_size=20))
def test_when_all_is_taken_nothing_stays(found):
    known = {number: Task(number, "none", fate=Fate.VALUE) for number in range(NODES)}
    plan = plan_of(found, known)
    assert {*plan.of_tasks, *plan.shared, *plan.claims} == found
    assert plan.foreign_packs == set()


@given(st.sets(of_tasks))
def test_arguments_of_tasks_of_other_processes_go_last(found):
    known = {number: Task(number, "none", is_own=False, fate=Fate.VALUE) for number in range(NODES)}
    plan = plan_of(found, known)
    assert set(plan.shared) == {key for key in found if "/inputs/" in key}
    assert {*plan.of_tasks, *plan.shared} == found


@given(st.sets(packs, min_size=1))
def test_packs_of_other_processes_are_named(found):
    known = {number: Task(number, "none", is_own=number > 2, fate=Fate.VALUE) for number in range(NODES)}
    plan = plan_of(found, known)
    assert plan.foreign_packs == {key for key in found if contract.group_of_pack(key) <= 2}
    plan.keep_shared()
    assert plan.shared == []


@given(tasks)
def test_tasks_of_one_group_stay_together(known):
    going = {
        node_of(key) for key in plan_of({contract.outcome_key(DISPATCH, n, 1) for n in known}, known).of_tasks
    }
    for node_id in going:
        together = {other for other in known if known[other].group_id == known[node_id].group_id}
        assert together <= going
