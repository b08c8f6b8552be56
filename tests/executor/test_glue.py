"""Glue nodes are answered from pickles that stay unopened, and only where that is right."""

import pickle

import covalent as ct
import pytest
from covalent._workflow.transportable_object import TransportableObject
from hypothesis import given
from hypothesis import strategies as st

from covalent_awsbatch_plugin import glue
from covalent_awsbatch_plugin.glue import CONTAINER_KEY, GlueKind
from covalent_awsbatch_plugin.transportable import Transportable, from_attributes


class Bomb:
    """Unpickling it in the dispatcher would be the fault that these tests look for."""

    def __reduce__(self):
        return _explode, ()


def _explode():
    raise AssertionError("a pickle was opened")


def transportable(value, container=None) -> Transportable:
    carried = TransportableObject(value)
    if container is not None:
        carried._header[CONTAINER_KEY] = container
    return from_attributes(vars(carried))


def covalents_functions() -> dict[str, list[Transportable]]:
    """Return the functions of a real workflow's nodes, by the nodes' names."""

    @ct.electron
    def g(items, named):
        return items, named

    @ct.electron
    def one():
        return 1

    @ct.electron
    def _auto_list_node(*items):
        return "a user's function of the same name"

    @ct.lattice
    def workflow():
        result = g([one(), one()], {"k": one()})
        first, _second = g(_auto_list_node(one()), 2)
        return [result[0], result.attribute, first, result["key"]]

    workflow.build_graph()
    found: dict[str, list[Transportable]] = {}
    graph = workflow.transport_graph
    for node_id in graph._graph.nodes:
        function = graph.get_node_value(node_id, "function")
        if function is not None:
            name = graph.get_node_value(node_id, "name")
            found.setdefault(name, []).append(from_attributes(vars(function)))
    return found


FUNCTIONS = covalents_functions()
LIST, DICT = FUNCTIONS[":electron_list:"][0], FUNCTIONS[":electron_dict:"][0]
ITEM = FUNCTIONS[":g.__getitem__"][0]


def test_covalents_own_functions_are_told_from_users():
    kinds = {name: {glue.kind_of(each) for each in functions} for name, functions in FUNCTIONS.items()}
    kinds = {name: kind for name, kind in kinds.items() if not name.startswith(":parameter:")}
    assert kinds == {
        "g": {None},
        "one": {None},
        "_auto_list_node": {None},
        ":electron_list:": {GlueKind.LIST},
        ":electron_dict:": {GlueKind.DICT},
        ":g.__getitem__": {GlueKind.ITEM},
        ":g.__getattr__": {None},
        ":g()[0]": {GlueKind.ITEM},
        ":g()[1]": {GlueKind.ITEM},
        ":postprocess:reconstruct": {None},
    }


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.lists(values, max_size=6))
def test_a_list_of_pickles_is_the_pickle_of_the_list(items):
    composed = glue.compose(LIST, [transportable(item) for item in items], {})
    assert composed is not None
    assert pickle.loads(composed.pickle_bytes) == items
    assert composed.container is not None
    assert composed.container.length == len(items)


@given(st.dictionaries(st.text() | st.integers(), values, max_size=6))
def test_a_dict_is_composed_of_its_keys_and_values(expected):
    keys, items = transportable(list(expected)), transportable(list(expected.values()))
    composed = glue.compose(DICT, [keys, items], {})
    assert composed is not None
    assert pickle.loads(composed.pickle_bytes) == expected


def test_glue_of_glue_stays_unopened():
    inner = glue.compose(LIST, [transportable(Bomb()), transportable(1)], {})
    assert inner is not None
    carried = transportable(None)
    nested = Transportable(
        carried.header, "", len(inner.pickle_bytes), lambda: from_attributes(attributes(inner)).open_base64()
    )
    outer = glue.compose(LIST, [nested], {})
    assert outer is not None
    with pytest.raises(AssertionError, match="a pickle was opened"):
        pickle.loads(outer.pickle_bytes)


def attributes(composed):
    import base64

    return {"_object": base64.b64encode(composed.pickle_bytes).decode(), "_header": {}}


@given(st.lists(values, min_size=1, max_size=5), st.data())
def test_an_item_is_taken_where_the_header_says_that_it_is_there(items, data):
    index = data.draw(st.integers(-len(items), len(items) - 1))
    whole = transportable(items, {"kind": "list", "length": len(items), "keys": []})
    composed = glue.compose(ITEM, [whole, transportable(index)], {})
    assert composed is not None
    assert pickle.loads(composed.pickle_bytes) == items[index]


def test_an_item_of_a_dict_is_taken_by_its_key():
    whole = transportable({"a": 1, 2: "two"}, {"kind": "dict", "length": 2, "keys": ["a", 2]})
    for key, expected in (("a", 1), (2, "two")):
        composed = glue.compose(ITEM, [whole, transportable(key)], {})
        assert composed is not None
        assert pickle.loads(composed.pickle_bytes) == expected
    assert glue.compose(ITEM, [whole, transportable("2")], {}) is None


@pytest.mark.parametrize(
    ("value", "container", "key"),
    [
        ([1, 2], {"kind": "list", "length": 2, "keys": []}, 2),  # fails in its own node, as a job
        ([1, 2], {"kind": "list", "length": 2, "keys": []}, -3),
        ([1, 2], {"kind": "list", "length": 2, "keys": []}, "a"),
        ([1, 2], {"kind": "list", "length": 2, "keys": []}, slice(0, 1)),
        ([1, 2], {"kind": "list", "length": 2, "keys": []}, True),
        ([1, 2], None, 0),  # nothing is known of the container
        (b"x" * (glue.MAX_CARRIED_BYTES + 1), {"kind": "list", "length": 2, "keys": []}, 0),
        ([1], {"kind": "list", "length": 1, "keys": []}, Bomb()),
    ],
)
def test_an_item_that_may_not_be_there_or_is_large_needs_a_job(value, container, key):
    assert glue.compose(ITEM, [transportable(value, container), transportable(key)], {}) is None


def test_a_users_function_needs_a_job():
    assert glue.compose(FUNCTIONS["g"][0], [transportable(1)], {}) is None
    assert glue.compose(FUNCTIONS["_auto_list_node"][0], [transportable(1)], {}) is None
