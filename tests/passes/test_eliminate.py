"""Elimination against its definition: every term multiplied out over all index letters."""

from dataclasses import replace

import numpy as np
import pytest
from tapeless.ir.builder import Builder
from tapeless.ir.evaluate import evaluate
from tapeless.ir.graph import Graph, Value
from tapeless.ir.jacobian import Delta, Map, Mask, Term, Val
from tapeless.ir.types import BOOL, F64, Type
from tapeless.passes.algebra.eliminate import eliminate
from tapeless.passes.algebra.expression import Expression
from tapeless.passes.algebra.materialise import materialise
from tapeless.passes.algebra.support import eliminate_boolean


def multiplied_out(expression, arrays, dtype):
    """The sum (any) over the letters of each term that `out` does not name, of the product (and)
    of its factors; a structural zero annihilates whatever else a product holds."""
    shape = tuple(expression.extent[x] for x in expression.out)
    total = np.zeros(shape, dtype)
    for term in expression.terms:
        summed = [x for x in dict.fromkeys(term.letters) if x not in expression.out]
        letters = [*expression.out, *summed]
        extents = [expression.extent[x] for x in letters]
        at = dict(zip(letters, np.indices(extents), strict=True))
        value, chosen = np.full(extents, term.coef, dtype), np.ones(extents, bool)
        for factor in term.factors:
            match factor:
                case Delta(i, j):
                    chosen = chosen & (at[i] == at[j])
                case Mask(v, ix):
                    chosen = chosen & element(arrays[v], ix, at)
                case Val(v, ix):
                    value = value * element(arrays[v], ix, at)
                case Map():
                    chosen = chosen & related(factor, arrays, expression.extent, at)
        product = np.where(chosen, value, np.zeros((), dtype))
        axes = tuple(range(len(expression.out), len(letters)))
        total = total + (product.any(axis=axes) if dtype == BOOL else product.sum(axis=axes))
    return total


def element(array, ix, at):
    return array[tuple(0 if x is None else at[x] for x in ix)]


def related(factor, arrays, extent, at):
    """Where a map of a few kinds is 1."""
    attrs = dict(factor.attrs)
    src, dst = [at[x] for x in factor.src], [at[x] for x in factor.dst]
    match factor.op:
        case "slice":
            triples = zip(src, dst, attrs["spec"], strict=True)
            return np.logical_and.reduce([a == low + step * i for a, i, (low, _, step) in triples])
        case "reshape":
            flat = [
                np.ravel_multi_index(x, [extent[k] for k in letters])
                for x, letters in ((src, factor.src), (dst, factor.dst))
            ]
            return flat[0] == flat[1]
        case "windows":
            steps = attrs["strides"] + attrs["dilations"]
            return src[0] == sum(x * step for x, step in zip(dst, steps, strict=True))
        case "gather":
            return src[0] == arrays[factor.operands[0]][tuple(dst)]
        case "cumsum":
            return src[0] <= dst[0]
    raise AssertionError(factor.op)


def check(arrays, extent, out, *terms, constants=(), kept_open=False, placed=False):
    """Eliminate, run the ops that come out, and compare; returns the names of the ops."""
    b = Builder()
    table = [
        b.constant(a) if k in constants else Value(Type(a.dtype, a.shape), f"x{k}")
        for k, a in enumerate(arrays)
    ]
    inputs = [v for k, v in enumerate(table) if k not in constants]
    given = [a for k, a in enumerate(arrays) if k not in constants]

    def named(f):
        if isinstance(f, Map):
            return Map(f.op, f.attrs, tuple(table[v] for v in f.operands), f.src, f.dst)
        return f if isinstance(f, Delta) else type(f)(table[f.v], f.ix)

    symbolic = [Term(t.coef, tuple(map(named, t.factors))) for t in terms]
    dtype = BOOL if all(a.dtype == BOOL for a in arrays) else F64
    expected = multiplied_out(Expression(out, extent, terms), arrays, dtype)
    expression = Expression(out, extent, tuple(symbolic), kept_open, placed)
    if dtype == BOOL:
        reduced = eliminate_boolean(b, expression)
        values = [v.v for r in reduced for v in r.vals]
        found, _ = evaluate(Graph("f", tuple(inputs), tuple(b.nodes), tuple(values)), given)
        positions = iter(range(len(values)))
        again = [
            Term(1.0, (*r.deltas, *(Val(next(positions), v.ix) for v in r.vals))) for r in reduced
        ]
        result = multiplied_out(Expression(out, extent, tuple(again)), found, dtype)
    else:
        reduced = eliminate(b, expression, dtype)
        shape = tuple(extent[x] for x in out)
        value = materialise(b, reduced, out, shape, dtype)
        graph = Graph("f", tuple(inputs), tuple(b.nodes), (value,))
        ((result,), _) = evaluate(graph, given)
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)
    assert not np.isnan(result).any()
    return [node.op.name for node in b.nodes]


def random(*shape):
    return np.random.default_rng(len(shape)).normal(size=shape)


def coin(*shape):
    return np.random.default_rng(sum(shape)).random(shape) < 0.6


# --- one step at a time ---------------------------------------------------------------------


def test_a_delta_with_a_summed_letter_leaves_an_outer_product():
    ops = check(
        [random(3), random(4)],
        {0: 3, 1: 4, 2: 3},
        (0, 1),
        Term(1.0, (Delta(0, 2), Val(1, (1,)), Val(0, (2,)))),
    )
    assert ops == ["dot"]


def test_a_trace_multiplies_by_the_extent():
    check([random(4)], {0: 4, 1: 3, 2: 3}, (0,), Term(2.0, (Delta(1, 2), Val(0, (0,)))))


def test_nothing_left_is_zero_everywhere():
    check([random(3)], {0: 3, 1: 4}, (0, 1))
    never = np.zeros(3, bool)
    check(
        [random(3), never], {0: 3}, (0,), Term(1.0, (Val(0, (0,)), Mask(1, (0,)))), constants=(1,)
    )


def test_terms_of_one_pattern_are_added_up_in_the_order_of_the_first():
    x, y = random(3, 4), random(4, 3)
    ops = check(
        [x, y], {0: 3, 1: 4}, (0, 1), Term(1.0, (Val(0, (0, 1)),)), Term(-2.0, (Val(1, (1, 0)),))
    )
    assert ops.count("sub") == 1


@pytest.mark.parametrize("letters", [(0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1)])
def test_a_repeated_letter_takes_the_diagonal(letters):
    extent = {0: 3, 1: 4}
    x = random(*(extent[k] for k in letters))
    ops = check([x], extent, (1, 0), Term(1.0, (Val(0, letters),)))
    assert "slice" in ops
    check([x], extent, (0,), Term(1.0, (Val(0, letters),)))


def test_a_mask_of_one_factor_keeps_the_contraction_one():
    x, y, m = random(3, 4), random(4, 5), coin(3, 4)
    ops = check(
        [x, y, m],
        {0: 3, 1: 4, 2: 5},
        (0, 2),
        Term(1.0, (Val(0, (0, 1)), Val(1, (1, 2)), Mask(2, (0, 1)))),
    )
    assert ops.count("dot") == 1 and ops.count("select") == 1


def test_a_mask_over_both_sides_selects_after_the_product():
    x, y, m = random(3, 4), random(4, 5), coin(3, 4, 5)
    check(
        [x, y, m],
        {0: 3, 1: 4, 2: 5},
        (0, 2),
        Term(1.0, (Val(0, (0, 1)), Val(1, (1, 2)), Mask(2, (0, 1, 2)))),
    )


def test_a_mask_stops_what_is_not_finite():
    x = np.array([np.inf, np.nan, 2.0])
    m = np.array([False, False, True])
    check([x, m, random(3)], {0: 3}, (0,), Term(1.0, (Val(0, (0,)), Val(2, (0,)), Mask(1, (0,)))))
    check([x, m, random(3)], {0: 3}, (), Term(1.0, (Val(0, (0,)), Val(2, (0,)), Mask(1, (0,)))))


MAPS = [
    (Map("slice", (("spec", ((1, 4, 2),)),), (), (0,), (1,)), {0: 5, 1: 2}),
    (Map("reshape", (), (), (0,), (1, 2)), {0: 6, 1: 2, 2: 3}),
    (
        Map("windows", (("strides", (2,)), ("dilations", (1,))), (), (0,), (1, 2)),
        {0: 6, 1: 2, 2: 3},
    ),
    (Map("gather", (("axes", (0,)),), (0,), (0,), (1,)), {0: 5, 1: 4}),
    (Map("cumsum", (), (), (0,), (1,)), {0: 4, 1: 4}),
]


@pytest.mark.parametrize(("map_", "extent"), MAPS, ids=[m.op for m, _ in MAPS])
def test_a_map_is_applied_forward_backward_or_written_out(map_, extent):
    index = np.array([3, 0, 3, 1])
    src, dst = (random(*(extent[k] for k in side)) for side in (map_.src, map_.dst))
    arrays = [index, src, dst]
    there, back = Val(1, map_.src), Val(2, map_.dst)
    check(arrays, extent, map_.dst, Term(1.0, (map_, there)))
    check(arrays, extent, map_.src, Term(1.0, (map_, back)))
    check(arrays, extent, (), Term(1.0, (map_, there, back)))
    ops = check(arrays, extent, (*map_.src, *map_.dst), Term(2.0, (map_,)))
    assert "iota" in ops  # nothing is summed: the matrix itself
    check(arrays, extent, (*map_.dst, *map_.src), Term(1.0, (map_, there)))
    check(arrays, extent, map_.dst, Term(-3.0, (map_,)))  # summed with nothing but a coefficient


@pytest.mark.parametrize("whole", [(0, 2, 3), (2, 0, 3), (2, 3, 0)])
def test_a_gather_reads_and_adds_where_its_axis_lies(whole):
    """Only what is gathered has its axes in front, as in NumPy: nothing is transposed before."""
    extent = {0: 5, 1: 4, 2: 2, 3: 3}
    link = Map("gather", (("axes", (0,)),), (0,), (0,), (1,))
    part = (1, 2, 3)
    shapes = (tuple(extent[x] for x in letters) for letters in (whole, part))
    arrays = [np.array([3, 0, 3, 1]), *(random(*shape) for shape in shapes)]
    assert "transpose" not in check(arrays, extent, part, Term(1.0, (link, Val(1, whole))))
    assert "transpose" not in check(arrays, extent, whole, Term(1.0, (link, Val(2, part))))
    check(arrays, extent, (3, 0), Term(2.0, (link, Val(2, part))))
    check(arrays, extent, (2,), Term(1.0, (link, Val(1, whole))))


@pytest.mark.parametrize("whole", [(0, 2, 3), (2, 0, 3), (2, 3, 0)])
def test_a_slice_is_taken_and_added_where_its_axis_lies(whole):
    extent = {0: 5, 1: 2, 2: 2, 3: 3, 4: 2}
    link = Map("slice", (("spec", ((1, 4, 2),)),), (), (0,), (1,))
    part = tuple(1 if x == 0 else x for x in whole)
    arrays = [random(*(extent[x] for x in letters)) for letters in (whole, part)]
    assert "transpose" not in check(arrays, extent, part, Term(1.0, (link, Val(0, whole))))
    assert "transpose" not in check(arrays, extent, whole, Term(1.0, (link, Val(1, part))))
    factors = [random(*(4 if x == 3 else extent[x] for x in part)), random(3, 4)]
    product = Term(1.0, (link, Val(0, tuple(5 if x == 3 else x for x in part)), Val(1, (3, 5))))
    assert "transpose" not in check(factors, extent | {5: 4}, whole, product)


@pytest.mark.parametrize(
    ("link", "added"),
    [
        (Map("slice", (("spec", ((2, 3, 1),)),), (), (0,), (1,)), "add_at"),
        (Map("gather", (("axes", (0,)),), (0,), (0,), (1,)), "scatter_add"),
        (Map("gather", (("axes", (0,)),), (1,), (0,), ()), "scatter_add"),
    ],
)
def test_one_element_is_added_where_it_belongs_and_nothing_is_multiplied_by_zeros(link, added):
    """No array of zeros and a one: its product with what is not finite would be NaN."""
    extent = {0: 5, 1: 1, 2: 2, 3: 3}
    x, y = random(2, 3), random(3)
    x[0, 1], y[2] = np.inf, -np.inf
    arrays = [np.array([3]), np.array(3), x, y, coin(2)]
    factors = (link, Val(2, (2, 3)), Val(3, (3,)))
    for mask in ((), (Mask(4, (2,)),)):
        for out in ((0, 2, 3), (2, 0, 3), (2, 3, 0)):
            ops = check(arrays, extent, out, Term(2.0, (*factors, *mask)))
            assert "dot" not in ops and ops.count(added) == 1
    check([*arrays[:2], random(2, 3), random(3)], extent, (0, 2), Term(1.0, factors))


def test_a_mask_of_more_letters_selects_in_the_order_of_the_result():
    arrays = [random(2, 3), np.random.default_rng(0).random((2, 4, 3)) < 0.5]
    term = Term(1.0, (Val(0, (0, 2)), Mask(1, (0, 1, 2))))
    assert "transpose" not in check(arrays, {0: 2, 1: 4, 2: 3}, (0, 1, 2), term)


def test_what_is_summed_anyway_is_summed_before_a_map():
    """sum_ijk M[a,i] x[i,j] y[j,k] z[k]: a map of vectors is applied to one vector."""
    map_ = Map("slice", (("spec", ((1, 5, 2),)),), (), (0,), (1,))
    extent = {0: 6, 1: 2, 2: 3, 3: 4}
    arrays = [random(2, 3), random(3, 4), random(4), coin(3, 4)]
    factors = (map_, Val(0, (1, 2)), Val(1, (2, 3)), Val(2, (3,)))
    for mask in ((), (Mask(3, (2, 3)),)):
        ops = check(arrays, extent, (0,), Term(1.0, (*factors, *mask)))
        assert ops.index("add_at") == len(ops) - 1


@pytest.mark.parametrize("out", [(0, 2), (2, 0), (0,), (0, 2, 3), (1, 2), ()])
def test_maps_that_stay_as_places_say_the_same(out):
    """sum M[0,1] N[2,1] x[0,1] y[1,3]: two parts of axes that meet, an axis cut in two."""
    extent = {0: 7, 1: 3, 2: 9, 3: 2, 4: 6, 5: 3}
    first = Map("slice", (("spec", ((6, 0, -2),)),), (), (0,), (1,))
    second = Map("slice", (("spec", ((2, 8, 2),)),), (), (2,), (1,))
    cut = Map("reshape", (), (), (4,), (5, 3))
    arrays = [random(7, 3), random(3, 2), coin(3), random(6)]
    terms = (
        Term(2.0, (first, second, Val(0, (0, 1)), Val(1, (1, 3)))),
        Term(-1.0, (first, second, Mask(2, (1,)), cut, Delta(1, 5), Val(3, (4,)))),
        Term(0.5, (first, Delta(0, 1), Val(1, (1, 3)))),
    )
    for kept_open in (False, True):
        check(arrays, extent, out, *terms, kept_open=kept_open, placed=True)


# --- random terms ---------------------------------------------------------------------------

EXTENT = {0: 2, 1: 3, 2: 2, 3: 3, 4: 1}


def draw_term(rng, arrays, boolean):
    """One to four factors over the letters of `EXTENT`; new tensors are appended to `arrays`."""
    factors = []
    for _ in range(rng.integers(1, 5)):
        kind = rng.choice(["val", "val", "delta", "mask"])
        if kind == "delta":
            factors.append(Delta(*rng.permutation([(0, 2), (1, 3)][rng.integers(2)]).tolist()))
            continue
        letters = rng.integers(0, 5, rng.integers(0, 4)).tolist()
        shape = tuple(EXTENT[x] for x in letters)
        ix = tuple(None if EXTENT[x] == 1 else x for x in letters)
        numbers = rng.random(shape) < 0.7 if boolean or kind == "mask" else rng.normal(size=shape)
        arrays.append(np.asarray(numbers))
        factors.append((Mask if kind == "mask" else Val)(len(arrays) - 1, ix))
    return Term(1.0 if boolean else float(rng.integers(-2, 3)), tuple(factors))


@pytest.mark.parametrize("how", ["numbers", "open", "booleans"])
@pytest.mark.parametrize("seed", range(60))
def test_random_terms_come_to_what_they_say(seed, how):
    boolean = how == "booleans"
    rng = np.random.default_rng(seed)
    arrays = []
    terms = [draw_term(rng, arrays, boolean) for _ in range(rng.integers(1, 4))]
    if not boolean:
        arrays.append(np.zeros(()))
    out = tuple(rng.permutation(5)[: rng.integers(0, 5)].tolist())
    constants = tuple(k for k in range(len(arrays)) if rng.random() < 0.2)
    check(arrays, EXTENT, out, *terms, constants=constants, kept_open=how == "open")


def test_an_open_product_is_not_multiplied_out():
    """x[n,a] y[n,b] z[n,b] stays x times (y z): the next contraction may sum over n and b first."""
    b = Builder()
    x, y, z = (Value(Type(F64, (2, k)), name) for name, k in (("x", 3), ("y", 4), ("z", 4)))
    term = Term(1.0, (Val(x, (0, 1)), Val(y, (0, 2)), Val(z, (0, 2))))
    expression = Expression((0, 1, 2), {0: 2, 1: 3, 2: 4}, (term, term), open=True)
    (reduced,) = eliminate(b, expression, F64)
    assert [v.ix for v in reduced.vals] == [(0, 1), (0, 2)] and reduced.vals[0].v is x
    assert [node.op.name for node in b.nodes] == ["mul", "mul", "add"]
    (closed,) = eliminate(b, replace(expression, open=False), F64)
    assert [set(v.ix) for v in closed.vals] == [{0, 1, 2}]
