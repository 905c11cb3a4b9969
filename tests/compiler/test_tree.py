"""Containers: flatten, unflatten, paths, map, count."""

from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
from tapeless.compiler import tree

Pair = namedtuple("Pair", "left right")


@dataclass(frozen=True)
class Layer:
    W: object
    b: object = None


NESTED = {
    "layers": [Layer(1, 2), Layer(3)],
    "pair": Pair(4, (5, 6)),
    "none": None,
    7: {"k": []},
    "order": OrderedDict(z=8, a=9),
}


def test_leaves_come_in_order_and_none_is_structure():
    assert tree.leaves(NESTED) == [1, 2, 3, 4, 5, 6, 8, 9]
    assert tree.leaves(None) == [] and tree.leaves(3) == [3]


def test_round_trip_keeps_types_and_order():
    found, treedef = tree.flatten(NESTED)
    again = tree.unflatten(treedef, [x * 10 for x in found])
    assert again == tree.map(lambda x: x * 10, NESTED)
    assert list(again) == list(NESTED) and again["none"] is None
    assert type(again["pair"]) is Pair and type(again["layers"][1]) is Layer
    assert again["layers"][1].b is None and list(again["order"]) == ["z", "a"]
    assert again is not NESTED and again["layers"] is not NESTED["layers"]


def test_paths_are_written_as_the_user_would():
    treedef = tree.flatten(NESTED)[1]
    assert treedef.paths == (
        "['layers'][0].W", "['layers'][0].b", "['layers'][1].W", "['pair'].left",
        "['pair'].right[0]", "['pair'].right[1]", "['order']['z']", "['order']['a']",
    )  # fmt: skip
    assert [tree.dotted(path) for path in treedef.key_paths][:5] == [
        "layers.0.W", "layers.0.b", "layers.1.W", "pair.left", "pair.right.0",
    ]  # fmt: skip
    assert tree.flatten(3)[1].paths == ("",)


def test_structures_compare_and_hash():
    one, other = tree.flatten({"a": 1, "b": [2]})[1], tree.flatten({"a": 5, "b": [6]})[1]
    assert one == other and hash(one) == hash(other)
    for different in ({"b": [2], "a": 1}, {"a": 1, "b": (2,)}, {"a": 1, "b": [2, 3]}, [1, [2]]):
        assert tree.flatten(different)[1] != one


def test_map_takes_several_trees_of_one_structure():
    assert tree.map(lambda a, b: a + b, {"x": 1, "y": [2]}, {"x": 10, "y": [20]}) == {
        "x": 11, "y": [22],
    }  # fmt: skip
    with pytest.raises(ValueError, match="structures differ"):
        tree.map(lambda a, b: a, {"x": 1}, {"y": 1})


def test_wrong_number_of_leaves():
    with pytest.raises(ValueError, match="2 leaves, got 1"):
        tree.flatten([1, 2])[1].unflatten([1])


def test_count_is_the_number_of_parameters():
    sizes = [(64, 128), (128,), (128, 10), (10,), ()]
    assert tree.count([np.zeros(s) for s in sizes]) == 64 * 128 + 128 + 1280 + 10 + 1
    assert tree.count({"rate": 0.1}) == 1


def test_default_dict_comes_back_as_one():
    again = tree.map(lambda x: -x, defaultdict(list, a=1))
    assert type(again) is defaultdict and dict(again) == {"a": -1}
