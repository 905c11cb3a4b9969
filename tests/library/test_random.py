"""tl.random: the same bits everywhere, the right distributions, and errors that say what to do.

Seeds are fixed, so a test either always passes or never does; the bounds are five standard
deviations of the statistic wide.
"""

import math
import re

import numpy as np
import pytest
import tapeless as tl
from conformance import run_traced
from hypothesis import given, settings
from hypothesis import strategies as st
from tapeless.ir.special import erf

KEY = tl.random.key(2024)
FLOATS = [np.float32, np.float64]


# --- the same everywhere -----------------------------------------------------------------------


def test_regression_of_keys_and_draws():
    key = tl.random.key(7)
    np.testing.assert_array_equal(key, [7, 0])
    split = [
        [6148732317671232841, -2663345385915937618],
        [-6337341884562695691, 4862209158987352356],
    ]
    assert tl.random.split(key).tolist() == split
    assert tl.random.fold_in(key, 1).tolist() == [6609858088968943320, -3546320575375734808]
    words = [-4608878016248907219, 1580108719113026114, -3776342970988589413]
    assert tl.random.bits(key, 3).tolist() == words
    assert tl.random.bits(key, 3, np.int32).tolist() == [-195003859, -1073088036, 490388034]
    assert tl.random.uniform(key, 2).tolist() == [0.7501522221031126, 0.0856578653012815]
    narrow = tl.random.uniform(key, 2, dtype=np.float32)
    assert narrow.tolist() == [0.9545971155166626, 0.7501521706581116]
    normal = [0.3303590902025441, 1.8129508548923792, -1.1295750645309983]
    np.testing.assert_allclose(tl.random.normal(key, 3), normal, rtol=1e-14)
    narrow = [0.9461656212806702, 1.4293997287750244, 0.8255048394203186]
    np.testing.assert_allclose(tl.random.normal(key, 3, dtype=np.float32), narrow, rtol=1e-6)
    assert tl.random.randint(key, 8, 0, 100).tolist() == [75, 8, 79, 95, 0, 84, 25, 13]
    assert tl.random.permutation(key, 8).tolist() == [0, 2, 5, 3, 4, 1, 7, 6]
    assert tl.random.bernoulli(key, 0.5, 8).tolist() == [1, 1, 0, 0, 0, 1, 0, 1]


def draws(key, seed):
    """Every function that makes no use of rounded functions: exact on every executor."""
    a, b, c, d = tl.random.split(tl.random.fold_in(key, seed), 4)
    return {
        "key": tl.random.key(seed),
        "bits": [tl.random.bits(a, s, t) for s, t in [((), np.int32), ((5,), np.int64)]],
        "empty": tl.random.uniform(a, (0, 3)),
        "uniform": [tl.random.uniform(b, (9,), dtype=dtype) for dtype in FLOATS],
        "interval": tl.random.uniform(b, (), -2.0, 6.0),
        "bernoulli": tl.random.bernoulli(c, 0.25, (33,)),
        "randint": [tl.random.randint(c, 11, -(2**k), 2**k + 1) for k in (2, 31, 61)],
        "narrow": tl.random.randint(c, (2, 2), seed, seed + 10, np.int32),
        "order": [tl.random.permutation(d, 17), tl.random.permutation(d, np.eye(4), axis=1)],
    }


def assert_equal(actual, expected):
    for a, e in zip(tl.tree.leaves(actual), tl.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(a, e, strict=True)


def test_eager_interpreted_optimised_and_native_agree_bit_by_bit():
    expected = tl.tree.map(np.asarray, draws(KEY, 3))
    step = tl.compile(draws)
    assert_equal(step(KEY, 3), expected)
    assert_equal(step.interpret(KEY, 3), expected)
    program = step.lower(KEY, 3)
    for stage in ("trace", "optimized", "fused"):
        assert_equal(program.interpret(stage, KEY, 3), expected)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(), (1,), (7,), (4, 6), (0,), (3, 0)])
def test_normal_agrees_up_to_the_rounding_of_its_functions(shape, dtype):
    def step(key):
        return tl.random.normal(key, shape, dtype=dtype)

    eager = step(KEY)
    assert eager.shape == shape and eager.dtype == dtype
    for run in (tl.compile(step), lambda key: run_traced(step, key)):
        z = run(KEY)
        assert z.shape == shape and z.dtype == dtype
        np.testing.assert_allclose(z, eager, rtol=16 * np.finfo(dtype).eps, atol=1e-6)


def test_the_loop_over_blocks_vectorises():
    llvm = tl.compile(lambda key: tl.random.bits(key, 4096, np.int32)).lower(KEY).llvm()
    assert re.search(r"= mul [a-z ]*<\d+ x i64>", str(llvm))


@settings(max_examples=50)
@given(st.integers(-(2**63), 2**64 - 1), st.integers(0, 70), st.sampled_from([np.int32, np.int64]))
def test_more_numbers_continue_fewer(seed, n, dtype):
    key = tl.random.key(seed)
    few, many = tl.random.bits(key, n, dtype), tl.random.bits(key, (73,), dtype)
    np.testing.assert_array_equal(few, many[:n], strict=True)


# --- keys ------------------------------------------------------------------------------------


def test_a_key_holds_its_seed():
    for seed in (0, 5, 2**63, 2**64 - 1, -1, np.int32(5), np.uint64(2**64 - 1)):
        key = tl.random.key(seed)
        assert key.dtype == np.int64 and key.shape == (2,)
        assert int(key[0]) % 2**64 == int(seed) % 2**64 and key[1] == 0


def test_keys_derived_in_different_ways_and_draws_share_no_word():
    keys = [tl.random.key(s) for s in range(20)]
    keys += [tl.random.fold_in(KEY, k) for k in range(-20, 20)]
    keys += [*tl.random.split(KEY, 50)]
    words = [int(word) for key in keys for word in tl.random.bits(key, 50)]
    words += [int(word) for key in keys[:60] for word in tl.random.split(key, 25).ravel()]
    words += [int(word) for key in keys for word in tl.random.fold_in(key, 0)]
    assert len(set(words)) == len(words)


def test_split_keys_are_the_beginning_of_more():
    np.testing.assert_array_equal(tl.random.split(KEY), tl.random.split(KEY, 5)[:2])
    assert tl.random.split(KEY, 0).shape == (0, 2)


def test_a_key_written_back_gives_other_numbers_in_every_call():
    @tl.compile
    def step(key):
        now, following = tl.random.split(key)
        key[:] = following
        return tl.random.uniform(now, (3,))

    key = tl.random.key(1)
    expected = key.copy()
    for _ in range(3):
        now, expected = tl.random.split(expected)
        np.testing.assert_array_equal(step(key), tl.random.uniform(now, (3,)))
        np.testing.assert_array_equal(key, expected)


def test_a_key_made_of_numbers_gives_the_same_numbers_in_every_call():
    step = tl.compile(lambda x: x + tl.random.uniform(tl.random.key(3), (4,)))
    assert "random_bits" not in step.lower(np.zeros(4)).ir("trace")
    np.testing.assert_array_equal(step(np.zeros(4)), step(np.zeros(4)))
    np.testing.assert_array_equal(step(np.zeros(4)), tl.random.uniform(tl.random.key(3), (4,)))


def test_one_draw_written_twice_is_computed_once():
    program = tl.compile(lambda key: (tl.random.bits(key, 8), tl.random.bits(key, 8) + 1)).lower(
        KEY
    )
    assert program.ir("optimized").count("random_bits") == 1


# --- distributions ---------------------------------------------------------------------------


def assert_uniform_cells(cells, count):
    """Pearson's chi-square of equally likely cells, by its normal approximation."""
    found = np.bincount(np.ravel(cells), minlength=count)
    expected = np.size(cells) / count
    chi_square = np.sum((found - expected) ** 2) / expected
    assert abs(chi_square - (count - 1)) < 5 * math.sqrt(2 * (count - 1))


def kolmogorov_smirnov(sample, distribution):
    """sqrt(n) times the largest distance between the two distribution functions."""
    probabilities = distribution(np.sort(sample))
    n = len(sample)
    above = np.arange(1, n + 1) / n - probabilities
    return math.sqrt(n) * max(above.max(), (1 / n - above).max())


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_every_bit_is_fair_and_independent_of_its_neighbours(dtype):
    n = 200_000
    raw = tl.random.bits(KEY, n, dtype)
    for k in range(8 * raw.itemsize):
        bit = (raw >> dtype(k)) & dtype(1)
        assert abs(bit.mean() - 0.5) < 5 * 0.5 / math.sqrt(n)
        for lag in (1, 2, 4):
            assert abs((bit[lag:] == bit[:-lag]).mean() - 0.5) < 5 * 0.5 / math.sqrt(n - lag)


@pytest.mark.parametrize("dtype", FLOATS)
def test_uniform(dtype):
    u = tl.random.uniform(KEY, (400_000,), dtype=dtype)
    assert u.dtype == dtype and u.min() >= 0 and u.max() < 1
    wide = u.astype(np.float64)
    digits = 24 if dtype == np.float32 else 53
    np.testing.assert_array_equal(wide * 2.0**digits % 1, 0)
    assert abs(wide.mean() - 0.5) < 5 * math.sqrt(1 / 12 / u.size)
    assert abs(wide.var() - 1 / 12) < 5 * math.sqrt(1 / 180 / u.size)
    assert_uniform_cells((wide * 1000).astype(int), 1000)
    pairs = (wide[::2] * 30).astype(int) * 30 + (wide[1::2] * 30).astype(int)
    assert_uniform_cells(pairs, 900)
    assert kolmogorov_smirnov(wide, lambda x: x) < 2.0


@pytest.mark.parametrize("dtype", FLOATS)
def test_normal(dtype):
    z = tl.random.normal(KEY, (400_001,), dtype=dtype)
    assert z.dtype == dtype and np.isfinite(z).all()
    n, z = z.size, z.astype(np.float64)
    moments = {1: (0, 1), 2: (1, 2), 3: (0, 15), 4: (3, 96)}  # mean and variance of z**k
    for k, (moment, variance) in moments.items():
        assert abs((z**k).mean() - moment) < 5 * math.sqrt(variance / n), k
    assert kolmogorov_smirnov(z, lambda x: 0.5 * (1 + erf(x / math.sqrt(2)))) < 2.0
    for limit in (2.0, 3.0, 4.0):
        tail = n * math.erfc(limit / math.sqrt(2))
        assert abs((np.abs(z) > limit).sum() - tail) < 5 * math.sqrt(tail)
    half = n // 2 + 1  # the two members of a pair lie that far apart
    assert abs(np.mean(z[:-half] * z[half:])) < 5 / math.sqrt(n - half)


@pytest.mark.parametrize("draw", [tl.random.uniform, tl.random.normal])
def test_streams_of_split_keys_are_uncorrelated(draw):
    keys = tl.random.split(KEY, 12)
    streams = np.stack([draw(key, (20_000,)) for key in (KEY, *keys)])
    correlations = np.corrcoef(streams)[np.triu_indices(13, 1)]
    assert np.abs(correlations).max() < 5 / math.sqrt(20_000)


@pytest.mark.parametrize("dtype", FLOATS)
def test_parameters(dtype):
    low, high = np.array([0.0, -3.0, 5.0], dtype), np.array([1.0, 3.0, 5.5], dtype)
    u = tl.random.uniform(KEY, (1000, 3), low, high, dtype)
    unit = tl.random.uniform(KEY, (1000, 3), dtype=dtype)
    assert u.dtype == dtype
    np.testing.assert_array_equal(u, low + (high - low) * unit)
    z = tl.random.normal(KEY, (1000, 3), mean=low, std=2.0, dtype=dtype)
    assert z.dtype == dtype
    np.testing.assert_array_equal(z, low + 2 * tl.random.normal(KEY, (1000, 3), dtype=dtype))


def test_parameters_have_derivatives():
    mean, std = np.array([0.5, -1.0, 2.0]), np.array([1.0, 2.0, 0.5])

    def total(mean, std, key):
        return np.sum(tl.random.normal(key, (4, 3), mean, std))

    by_mean, by_std = tl.compile(tl.grad(total, (0, 1)))(mean, std, KEY)
    np.testing.assert_allclose(by_mean, [4.0, 4.0, 4.0])
    np.testing.assert_allclose(by_std, tl.random.normal(KEY, (4, 3)).sum(0))


def test_bernoulli():
    n = 100_000
    for p in (0.1, 0.5, 0.9):
        found = tl.random.bernoulli(KEY, p, (n,))
        assert found.dtype == np.bool_
        assert abs(found.mean() - p) < 5 * math.sqrt(p * (1 - p) / n)
    assert not tl.random.bernoulli(KEY, 0.0, (n,)).any() and tl.random.bernoulli(KEY, 1, n).all()
    assert tl.random.bernoulli(KEY).shape == ()
    chances = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    np.testing.assert_array_equal(tl.random.bernoulli(KEY, chances), chances == 1)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_randint_is_fair(dtype):
    found = tl.random.randint(KEY, (60_000,), -2, 4, dtype)
    assert found.dtype == dtype
    assert_uniform_cells(found + 2, 6)
    wide = tl.random.randint(KEY, (60_000,), 0, 3 * 2**61)
    assert_uniform_cells(wide // 2**55, 192)


@settings(max_examples=100)
@given(st.integers(-(2**63), 2**63 - 1), st.integers(1, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_randint_is_the_upper_half_of_a_product(low, span, seed):
    high = min(low + span, 2**63)
    key = tl.random.key(seed)
    words = [int(word) % 2**64 for word in tl.random.bits(key, 3)]
    expected = [low + ((word * (high - low)) >> 64) for word in words]
    assert tl.random.randint(key, 3, low, high).tolist() == expected


def test_randint_between_arrays():
    low, high = np.array([0, 10, 5]), np.array([3, 11, 5])
    found = tl.random.randint(KEY, (500, 3), low, high)
    np.testing.assert_array_equal(found.min(0), [0, 10, 5])
    np.testing.assert_array_equal(found.max(0), [2, 10, 5])
    step = tl.compile(lambda key, low, high: tl.random.randint(key, (500, 3), low, high))
    np.testing.assert_array_equal(step(KEY, low, high), found)


def test_permutation():
    orders = np.stack([tl.random.permutation(k, 4) for k in tl.random.split(KEY, 6000)])
    np.testing.assert_array_equal(np.sort(orders, 1), np.tile(np.arange(4), (6000, 1)))
    ranks = np.unique(orders @ [64, 16, 4, 1], return_inverse=True)[1]
    assert_uniform_cells(ranks, 24)
    rows = np.arange(12.0).reshape(6, 2)
    order = tl.random.permutation(KEY, 6)
    np.testing.assert_array_equal(tl.random.permutation(KEY, rows), rows[order])
    np.testing.assert_array_equal(tl.random.permutation(KEY, rows.T, axis=-1), rows[order].T)
    assert tl.random.permutation(KEY, 0).shape == (0,)
    assert tl.random.permutation(KEY, [3]).tolist() == [3]


# --- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (np.random.default_rng(0), TypeError, r"not a NumPy generator.*tl\.random\.key\(seed\)"),
        (np.random.PCG64(0), TypeError, r"not a NumPy generator"),
        (7, TypeError, r"not int; make one with tl\.random\.key"),
        ([0, 1], TypeError, r"not list; make one"),
        (np.zeros(2), TypeError, r"not float64"),
        (np.zeros(2, np.int32), TypeError, r"not int32"),
        (np.zeros(3, np.int64), ValueError, r"not \(3,\); make one"),
        (tl.random.split(KEY, 4), ValueError, r"not \(4, 2\); use one of its rows"),
    ],
)
@pytest.mark.parametrize(
    "use", [tl.random.bits, tl.random.split, lambda k: tl.random.fold_in(k, 1)]
)
def test_what_is_not_a_key(use, key, error, message):
    with pytest.raises(error, match=message):
        use(key)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tl.random.key(0.5), TypeError, r"a seed must be an integer, not float"),
        (lambda: tl.random.key(np.float64(1)), TypeError, r"not float64"),
        (lambda: tl.random.key(True), TypeError, r"not bool"),
        (lambda: tl.random.key(2**64), OverflowError, r"to 2\*\*64 - 1, got 18446744073709551616"),
        (lambda: tl.random.key(np.arange(3)), ValueError, r"one integer, not of shape \(3,\)"),
        (lambda: tl.random.fold_in(KEY, 1.0), TypeError, r"data must be an integer"),
        (lambda: tl.random.split(KEY, -1), ValueError, r"num must not be negative"),
        (lambda: tl.random.bits(KEY, 2.5), TypeError, r"extent must be an int, not float"),
        (lambda: tl.random.bits(KEY, (2, -1)), ValueError, r"extent must not be negative"),
        (lambda: tl.random.bits(KEY, 3, np.uint32), TypeError, r"int32 or int64, not uint32"),
        (lambda: tl.random.uniform(KEY, 3, dtype=int), TypeError, r"float32 or float64, not int64"),
        (lambda: tl.random.normal(KEY, mean=np.zeros(3)), ValueError, r"mean of shape \(3,\)"),
        (lambda: tl.random.randint(KEY, 3, 5, 5), ValueError, r"from 5 up to 5 is empty"),
        (lambda: tl.random.randint(KEY, 3, 0, 2**40, np.int32), OverflowError, r"beyond int32"),
        (
            lambda: tl.random.randint(KEY, 3, 0.0, 5),
            TypeError,
            r"low must be an integer",
        ),
        (
            lambda: tl.random.randint(KEY, 3, 0, 5, np.uint8),
            TypeError,
            r"int32 or int64, not uint8",
        ),
        (lambda: tl.random.permutation(KEY, np.array(3)), ValueError, r"static argument"),
    ],
)
def test_wrong_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_errors_in_a_step_have_its_line():
    with pytest.raises(TypeError, match=r"a key is an int64 array.*, at test_random\.py:\d+: "):
        tl.compile(lambda x: tl.random.bits(x)).lower(np.zeros(2))
    with pytest.raises(TypeError, match=r"a seed must be an integer, not float64, at test_random"):
        tl.compile(lambda s: tl.random.key(s)).lower(0.5)
    with pytest.raises(ValueError, match=r"static argument.*, at test_random"):
        tl.compile(lambda k, n: tl.random.permutation(k, n)).lower(KEY, 5)
