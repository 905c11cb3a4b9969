from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
from tapeless.compiler.signature import describe
from tapeless.compiler.unpack import make_unpack

X, Y = np.ones(2), np.ones((2, 3))
Pair = namedtuple("Pair", "left right")


@dataclass
class Layer:
    w: object
    b: object = None


def unpacker(*args, static=()):
    described = describe({f"p{k}": x for k, x in enumerate(args)}, static)
    return make_unpack(described.treedef.children, described.specs), described.leaves


@pytest.mark.parametrize(
    "args",
    [
        (X,),
        (X, Y, 1.0, 2, True, np.float32(3)),
        ({"a": X, "b": Y}, X),
        ({"a": {"b": [X, (Y, X)]}, 3: Y}, 0.5),
        (Layer(X, Y), Layer(X)),
        (Pair(X, Pair(Y, 1)),),
        ([], {}, (), None, X),
        (OrderedDict(z=X, a=Y), "mode", None, len),
        ([X],),
    ],
)
def test_leaves_come_out_in_the_order_of_describe(args):
    unpack, leaves = unpacker(*args)
    found = unpack(*args)
    assert len(found) == len(leaves)
    assert all(a is b for a, b in zip(found, leaves, strict=True))


@pytest.mark.parametrize(
    ("args", "others"),
    [
        (({"a": X, "b": Y},), [({"b": Y, "a": X},), ({"a": X},), ([X, Y],), (X,)]),
        (([X, Y],), [([X],), ([X, Y, X],), ((X, Y),)]),
        ((1.0,), [(1,), (True,), (np.float64(1),)]),
        ((np.float32(1),), [(1.0,), (np.float64(1),)]),
        ((Pair(X, Y),), [((X, Y),)]),
        (("relu",), [("tanh",), (b"relu",)]),
        ((None,), [(X,), (0,)]),
        ((Layer(X),), [(Layer(X, Y),)]),
    ],
)
def test_another_structure_static_value_or_kind_of_number_is_a_miss(args, others):
    unpack, _ = unpacker(*args)
    assert unpack(*args) is not None
    for other in others:
        assert unpack(*other) is None, other


def test_a_static_container_is_compared_by_value():
    unpack, _ = unpacker(X, (3, 4), static=("p1",))
    assert unpack(X, (3, 4)) == (X,) or unpack(X, (3, 4))[0] is X
    assert unpack(X, (3, 5)) is None


def test_keys_do_not_enter_the_source():
    hostile = {"'); raise SystemExit(('": X, "\n": Y}
    unpack, _ = unpacker(hostile)
    assert unpack(hostile) == (X, Y) or len(unpack(hostile)) == 2
