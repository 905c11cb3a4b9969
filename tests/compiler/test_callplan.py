"""The plan of a call: what it lets pass, and what it makes of the outputs."""

import ctypes
from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
from tapeless.compiler.callplan import plan_direct
from tapeless.compiler.callwriter import plan_call
from tapeless.compiler.outline import OUTPUT, ResultTree
from tapeless.compiler.signature import describe
from tapeless.compiler.treedef import LEAF
from tapeless.ir.types import Type
from tapeless.runtime.callpath import MISS, Entry, Item, Parameters, Target

X, Y = np.ones(2), np.ones((2, 3))
F64 = np.dtype(np.float64)
Pair = namedtuple("Pair", "left right")


@dataclass
class Layer:
    w: object
    b: object = None


class Call:
    """The fast function of a call with these arguments. Its step writes nothing; `table` are the
    addresses it was given."""

    native = True

    def __init__(self, *args, static=(), result=None, outputs=1, **options):
        names = tuple(f"p{k}" for k in range(len(args)))
        described = describe(dict(zip(names, args, strict=True)), static)
        result = result or ResultTree(LEAF, (OUTPUT,))
        self.leaves, children = described.leaves, described.treedef.children
        parameters = Parameters(names, 0, len(names))
        self.plan = plan_call(parameters, children, described.specs, result, **options)
        types = [Type(x.dtype, x.shape) for x in map(np.asarray, self.leaves)]
        self.items = [Item(t.dtype, t.shape, k) for k, t in enumerate(types)]
        self.outputs = [Item(F64, (), len(types) + k) for k in range(outputs)]
        self.fast = self.plan.bind(self)

    def entry(self, forms, **options):
        """As that of an executable."""
        count = len(self.items) + len(self.outputs)

        @ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
        def step(table):
            self.table = list((ctypes.c_int64 * count).from_address(table))
            return 0

        address = ctypes.cast(step, ctypes.c_void_p).value
        target = Target(address, np.zeros(count, np.uintp), step)
        return Entry(forms, self.items, self.outputs, target, native=self.native, **options)


@pytest.fixture(autouse=True, params=[True, False], ids=["native", "python"])
def form(request, monkeypatch):
    monkeypatch.setattr(Call, "native", request.param)


@pytest.mark.parametrize(
    ("args", "native"),
    [
        ((X,), True),
        ((X, Y, 1.0, 2, True, np.float32(3)), True),
        (({"a": X, "b": Y}, X), True),
        (({"a": {"b": [X, (Y, X)]}}, 0.5), True),
        ((Pair(X, Pair(Y, 1)),), True),
        (([X], [], {}, (), None, X), True),
        ((), True),
        (({3: Y, "a": X}, 0.5), False),
        ((Layer(X, Y), Layer(X)), False),
        ((Layer([X, {"a": Y}], Y),), False),
        ((OrderedDict(z=X, a=Y), "mode", None, len), False),
        ((defaultdict(list, {"z": X}), X), False),
    ],
)
def test_arrays_arrive_in_the_order_of_describe(args, native):
    call = Call(*args)
    assert (call.plan.source == "") == native
    assert isinstance(call.fast(*args), np.ndarray)
    arrays = [(k, x) for k, x in enumerate(call.leaves) if isinstance(x, np.ndarray)]
    assert [call.table[k] for k, _ in arrays] == [x.ctypes.data for _, x in arrays]
    assert call.fast(*args, X) is MISS and (not args or call.fast(*args[1:]) is MISS)
    named = {f"p{k}": x for k, x in enumerate(args)}
    for k in range(len(args) + 1):
        last = dict(reversed([*named.items()][k:]))
        assert call.fast(*args[:k], **last) is not MISS
        assert call.fast(*args[:k], **last, p99=X) is MISS
        assert not last or call.fast(*args[:k], **last | {"q": last.popitem()[1]}) is MISS


@pytest.mark.parametrize(
    ("args", "others"),
    [
        (({"a": X, "b": Y},), [({"b": Y, "a": X},), ({"a": X},), ([X, Y],), (X,)]),
        (({1: X, "b": Y},), [({"b": Y, 1: X},), ({1: X},), ([X, Y],), (X,), ({2: X, "b": Y},)]),
        (([X, Y],), [([X],), ([X, Y, X],), ((X, Y),)]),
        ((1.0,), [(1,), (True,), (np.float64(1),), (np.array(1.0),)]),
        ((np.array(1.0),), [(1.0,), (np.float64(1),)]),
        ((np.float32(1),), [(1.0,), (np.float64(1),)]),
        ((True,), [(1,), (np.True_,)]),
        ((Pair(X, Y),), [((X, Y),)]),
        (("relu",), [("tanh",), (b"relu",)]),
        ((None,), [(X,), (0,)]),
        ((Layer(X),), [(Layer(X, Y),), (Layer(Y),)]),
        ((Layer([X]),), [(Layer([X, X]),), (Layer((X,)),)]),
    ],
)
def test_another_structure_static_value_or_kind_of_number_is_a_miss(args, others):
    call = Call(*args)
    assert call.fast(*args) is not MISS
    for other in others:
        assert call.fast(*other) is MISS, other


def test_a_static_container_is_compared_by_value():
    call = Call(X, (3, 4), static=("p1",))
    assert call.fast(X, tuple(map(int, "34"))) is not MISS
    assert call.fast(X, (3, 5)) is MISS


def test_keys_do_not_enter_the_source():
    for hostile in ({"'); raise SystemExit(('": X, "\n": Y}, {"'); raise(": X, b"\n": Y}):
        call = Call(hostile, result=ResultTree(*describe_result({"'": OUTPUT})))
        assert call.fast(hostile).keys() == {"'"}
        assert "raise" not in call.plan.source


def test_limits_of_integers_are_kept():
    call = Call(X, 5, limits={1: (-128, 127)})
    assert [call.fast(X, n) is MISS for n in (-129, -128, 127, 128)] == [True, False, False, True]


@pytest.mark.parametrize("result", [OUTPUT, None, (OUTPUT, OUTPUT)])
def test_a_plan_without_a_function_is_made_again_of_less(result):
    args = {"w": X, "b": [Y, 2]}, 0.5, np.float32(1)
    call = Call(*args, result=ResultTree(*describe_result(result)), limits={2: (-128, 127)})
    described = describe({f"p{k}": arg for k, arg in enumerate(args)})
    taken = call.plan.parameters, described.treedef.children, described.specs
    assert call.plan.direct is not None
    assert plan_direct(*taken, call.plan.direct) == call.plan


@pytest.mark.parametrize("args", [("train",), (Layer(X),), ({1: X},)])
def test_a_plan_with_a_function_is_not_direct(args):
    assert Call(*args).plan.direct is None
    arguments, specs = _taken(args[0])
    with pytest.raises(ValueError, match="more to it"):
        plan_direct(Parameters(("p0",), 0, 1), arguments, specs, ("only", {}))


def _taken(arg):
    described = describe({"p0": arg})
    return described.treedef.children, described.specs


def describe_result(result):
    from tapeless.compiler import containers

    leaves, treedef = containers.flatten(result)
    return treedef, tuple(leaves)


@pytest.mark.parametrize(
    "result",
    [
        (OUTPUT, OUTPUT),
        (OUTPUT,),
        (),
        None,
        [OUTPUT, (OUTPUT, None)],
        {"a": OUTPUT, 3: [], "b": ({"c": OUTPUT},)},
        (3, "text", OUTPUT),
        2.5,
        Pair(OUTPUT, OUTPUT),
    ],
)
def test_results_have_their_structure(result):
    treedef, leaves = describe_result(result)
    outputs = sum(leaf is OUTPUT for leaf in leaves)
    call = Call(X, result=ResultTree(treedef, leaves), outputs=outputs)
    found, again = call.fast(X), call.fast(X)
    arrays = [x for x in describe_result(found)[1] if isinstance(x, np.ndarray)]
    places = iter(arrays)
    expected = [next(places) if leaf is OUTPUT else leaf for leaf in leaves]
    assert describe_result(found)[0] == treedef
    assert all(a is b for a, b in zip(describe_result(found)[1], expected, strict=True))
    assert len({id(x) for x in arrays}) == outputs
    assert found is not again or not outputs
    assert call.fast(X, X) is MISS
