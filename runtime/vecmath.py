"""Elementary functions that vectorise: branch-free, over the whole range, in f32 and f64.

LLVM has no SIMD versions of these. Each function is written once over the arithmetic of
`runtime/lanes.py`: on NumPy arrays it is plain Python's meaning of generated code, and the compiler
gets the same steps as LLVM instructions, which its loop vectoriser widens. Infinities, NaN, signed
zeros and subnormals come out as IEEE 754 and NumPy have them; errors stay within 2 ulp in f32 (the
tangent's within 2.5) and 4 ulp in f64 (`tests/runtime/test_vecmath.py` measures them).

Logarithms, powers, angles and divisions stand in `logarithms.py`, `powers.py`, `angles.py` and
`divisions.py`.

Sources: argument reductions and the coefficients of erf from Cephes (S. Moshier; those in f64 are
shared with `ir/special.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, partial

from ..ir import special
from .lanes import Lane, Lanes, Table
from .pieces import pieces

LOG2_E = math.log2(math.e)
LN_2 = math.log(2.0)

EXP_TAIL = {
    "f32": [1 / math.factorial(n) for n in range(2, 8)],  # remainder below 2**-27
    "f64": [
        0.5, 0.1666666666666667, 0.04166666666666667, 0.008333333333326136, 0.0013888888888883748,
        0.00019841269874820627, 2.4801587325547743e-05, 2.7557255400206422e-06,
        2.75572736431103e-07, 2.5105217004720745e-08, 2.0914686968086876e-09,
    ],
}  # fmt: skip
"""(exp(r) - 1 - r) / r**2 on [-ln2/2, ln2/2]: Taylor's coefficients, and a Chebyshev fit."""
EXP2_TAIL = {
    "f32": [0.693147182, 0.240226507, 0.0555035695, 0.00961808302, 0.00133908633, 0.000154531634],
    "f64": [
        0.6931471805599453, 0.24022650695910097, 0.0555041086648216, 0.009618129107606888,
        0.0013333558146416936, 0.0001540353044173605, 1.525273382983612e-05, 1.321544258792169e-06,
        1.0178062445845774e-07, 7.072585949269223e-09, 4.4549605981865186e-10,
    ],
}  # fmt: skip
"""Chebyshev fits to (2**r - 1) / r on [-1/2, 1/2]."""
LOG_UNIT_TAIL = {
    "f32": [
        6.66666673205274125e-1,
        3.99997063319297174e-1,
        2.85923579943028377e-1,
        2.17065758008803726e-1,
        2.32243292240233488e-1,
    ],
    "f64": [
        6.66666666666666669e-1,
        3.99999999999995225e-1,
        2.85714285716000993e-1,
        2.22222221982367706e-1,
        1.81818198979627144e-1,
        1.53845439648605493e-1,
        1.33351786314492558e-1,
        1.17342790613031975e-1,
        1.08451783948800148e-1,
        7.49214379555076730e-2,
        1.56305778009228504e-1,
    ],
}
"""Chebyshev fits to (2 atanh(s) / s - 2) / z in z = s*s on [0, 1/9]."""
ERF_NEAR = [
    1.28379165726710e-1, -3.761262582423300e-1, 1.128358514861418e-1, -2.685381193529856e-2,
    5.188327685732524e-3, -8.010193625184903e-4, 7.853861353153693e-5,
]  # fmt: skip
TANH_FIRST = 11
"""The place of the quarter of an octave that ends at 1/16."""
ERF_LAST = 3.92
"""From here on erf is 1 in f32."""
ERFC_FAR = [
    5.638259427386472e-1, -2.741127028184656e-1, 3.404879937665872e-1, -4.944515323274145e-1,
    6.210004621745983e-1, -5.824733027278666e-1, 3.687424674597105e-1, -1.387039388740657e-1,
    2.326819970068386e-2,
]  # fmt: skip


def polynomial(coefficients: Sequence[float], x: Lane) -> Lane:
    """c0 + c1 x + c2 x**2 + ... by Horner's rule; at least two coefficients."""
    result = x * coefficients[-1] + coefficients[-2]
    for coefficient in coefficients[-3::-1]:
        result = result * x + coefficient
    return result


def to_integer(m: Lanes, x: Lane) -> tuple[Lane, Lane]:
    """n and its bit pattern, x rounded to an integer; the pattern is that of n + magic, whose low
    digits are n's."""
    shifted = x + m.format.magic
    return shifted - m.format.magic, m.bits(shifted)


def power_of_two(m: Lanes, n: Lane, offset: int = 0) -> Lane:
    """2**(n + offset), a normal number, for the pattern of an integer n."""
    return m.from_bits((n + (m.format.bias + offset)) << m.format.fraction_bits)


def scaled(m: Lanes, x: Lane, n: Lane, pattern: Lane) -> Lane:
    """2**n x for an integer n and its pattern. In two steps, which reach subnormals with a single
    rounding."""
    if m.avx512:
        return m.scale(x, n)
    half = pattern >> 1
    return x * power_of_two(m, half) * power_of_two(m, pattern - half)


def as_float(m: Lanes, integer: Lane) -> Lane:
    """A small integer in a bit pattern, as a float."""
    return m.from_bits(integer + m.format.magic_bits) - m.format.magic


def clamp(m: Lanes, x: Lane, low: float, high: float) -> Lane:
    """x limited to [low, high]; NaN stays."""
    x = m.select(x < low, low, x)
    return m.select(x > high, high, x)


def _reduce_exp(m: Lanes, x: Lane) -> tuple[Lane, Lane, Lane]:
    """n, its pattern, and q with exp(x) = 2**n (1 + q) and |q| < 0.42."""
    n, pattern = to_integer(m, x * LOG2_E)
    r = (x - n * m.format.ln2_high) - n * m.format.ln2_low
    return n, pattern, r + r * r * polynomial(EXP_TAIL[m.format.name], r)


def exp(m: Lanes, x: Lane) -> Lane:
    """e**x."""
    n, pattern, q = _reduce_exp(m, clamp(m, x, m.format.exp_low, m.format.exp_high))
    return scaled(m, 1.0 + q, n, pattern)


def exp2(m: Lanes, x: Lane) -> Lane:
    """2**x; exact where x is whole."""
    x = clamp(m, x, 1.5 * m.format.exp_low, 1.5 * m.format.exp_high)
    n, pattern = to_integer(m, x)
    r = x - n
    return scaled(m, 1.0 + r * polynomial(EXP2_TAIL[m.format.name], r), n, pattern)


def expm1(m: Lanes, x: Lane) -> Lane:
    """exp(x) - 1 without cancellation near 0."""
    _, n, q = _reduce_exp(m, clamp(m, x, m.format.expm1_low, m.format.exp_high))
    half_scale = power_of_two(m, n, -1)  # 2**n itself overflows where the result does not
    result = (half_scale * q + (half_scale - 0.5)) * 2.0
    return m.select(m.abs(x) < m.format.tiny, x, result)


def _hyperbolic_exp(m: Lanes, a: Lane) -> tuple[Lane, Lane]:
    """s and q with exp(a) = 4 s (1 + q), for a >= 0; s is finite where the hyperbolic sine is."""
    most = m.format.exp_high + 0.6
    _, n, q = _reduce_exp(m, m.select(a > most, most, a))
    return power_of_two(m, n, -2), q


def sinh(m: Lanes, x: Lane) -> Lane:
    """Hyperbolic sine: e - e (1 - 1 / (e + 1)) / 2 for e = exp(|x|) - 1."""
    a = m.abs(x)
    scale, q = _hyperbolic_exp(m, a)
    quarter = scale * q + (scale - 0.25)
    result = (quarter - quarter * (0.5 - 0.5 / (4.0 * quarter + 1.0))) * 4.0
    return m.copysign(m.select(a < m.format.tiny, a, result), x)


def cosh(m: Lanes, x: Lane) -> Lane:
    """Hyperbolic cosine."""
    scale, q = _hyperbolic_exp(m, m.abs(x))
    quarter = scale * q + scale
    return (quarter + 0.0625 / quarter) * 2.0


@cache
def _tanh_pieces() -> tuple[Table, ...]:
    """tanh at the start of a quarter of an octave, and (tanh(start + t) - tanh(start)) / t, by the
    low digits of exponent and fraction. The first starts at 0 and ends at 1/16."""
    tables: list[list[float]] = []
    for place in range(32):
        number = (place - TANH_FIRST) % 32
        ends = [(1 + k % 4 / 4) * 2.0 ** (k // 4 - 4) for k in (number - 1, number)]
        start = ends[0] if number else 0.0
        rest = pieces(partial(_tanh_slope, start), [(0.0, ends[1] - start)], 4)
        tables.append([math.tanh(start), *(x for (x,) in rest)])
    return tuple(tuple(column) for column in zip(*tables, strict=True))


def _tanh_slope(start: float, t: float) -> float:
    return (math.tanh(start + t) - math.tanh(start)) / t


def _looked_up_tanh(m: Lanes, x: Lane) -> Lane:
    """In f32, where 1 is reached before 10."""
    a = m.abs(x)
    a = m.select(a > 11.0, 11.0, a)
    pattern = m.bits(m.select(a < 1 / 16, 7 / 128, a))
    start = m.from_bits(pattern & -(1 << (m.format.fraction_bits - 2)))
    place = pattern >> (m.format.fraction_bits - 2)
    first, *slope = (m.lookup(table, place) for table in _tanh_pieces())
    t = a - m.select(a < 1 / 16, 0.0, start)
    return m.copysign(first + t * polynomial(slope, t), x)


def tanh(m: Lanes, x: Lane) -> Lane:
    """Hyperbolic tangent: t / (t + 2) for t = exp(2 |x|) - 1."""
    if m.avx512 and m.format.name == "f32":
        return _looked_up_tanh(m, x)
    a = m.abs(x)
    double = a + a
    _, n, q = _reduce_exp(m, m.select(double > 44.0, 44.0, double))
    scale = power_of_two(m, n)
    t = scale * q + (scale - 1.0)
    sum_ = t + 2.0
    y = t / sum_
    y = y - y * (t - (sum_ - 2.0)) * (0.5 - 0.5 * y)  # what the sum's rounding lost
    return m.copysign(m.select(y > 1.0, 1.0, y), x)


def _erf_near(m: Lanes, a: Lane, square: Lane) -> Lane:
    """erf(a) for 0 <= a <= 1."""
    if m.format.name == "f32":
        return a + a * polynomial(ERF_NEAR, square)
    return a + a * (polynomial(special.ERF_V, square) / polynomial(special.ERF_U, square))


def _scaled_erfc(m: Lanes, a: Lane) -> Lane:
    """exp(a**2) (1 - erf(a)) for a >= 1; it needs ever fewer digits as a grows."""
    if m.format.name == "f32":
        inverse = 1.0 / a
        return inverse * polynomial(ERFC_FAR, inverse * inverse)
    return polynomial(special.ERFC_P, a) / polynomial(special.ERFC_Q, a)


@cache
def _erf_pieces() -> tuple[Table, ...]:
    """2 erf(a) / a - 1, which is small, in t = a - n/8, by n."""
    found = [pieces(partial(_erf_slope, n / 8), [(-1 / 16, 1 / 16)], 4) for n in range(32)]
    return tuple(tuple(x for (x,) in column) for column in zip(*found, strict=True))


def _erf_slope(middle: float, t: float) -> float:
    a = middle + t
    return 2 * math.erf(a) / a - 1


def _looked_up_erf(m: Lanes, x: Lane) -> Lane:
    """In f32, where 1 is reached before 4."""
    a = m.abs(x)
    a = m.select(a > ERF_LAST, ERF_LAST, a)
    shifted = a + m.format.magic / 8
    t = a - (shifted - m.format.magic / 8)
    place = m.bits(shifted)
    double = a + a * polynomial([m.lookup(table, place) for table in _erf_pieces()], t)
    return m.copysign(m.select(a == ERF_LAST, 1.0, 0.5 * double), x)


def erf(m: Lanes, x: Lane) -> Lane:
    """Error function."""
    if m.avx512 and m.format.name == "f32":
        return _looked_up_erf(m, x)
    a = clamp(m, m.abs(x), 0.0, special.ERF_ONE)
    square = a * a
    far = 1.0 - exp(m, -square) * _scaled_erfc(m, clamp(m, a, 1.0, special.ERF_ONE))
    return m.copysign(m.select(a < 1.0, _erf_near(m, a, square), far), x)


def sigmoid(m: Lanes, x: Lane) -> Lane:
    """1 / (1 + exp(-x)); keeps its relative accuracy far below 0."""
    small = exp(m, -m.abs(x))
    sum_ = 1.0 + small
    lost = (1.0 - sum_) + small  # the rounding error of the sum, to first order below
    y = m.select(x < 0.0, small, 1.0) / sum_
    return y - y * lost * m.select(x < 0.0, 1.0 - y, y)


def softplus(m: Lanes, x: Lane) -> Lane:
    """log(1 + exp(x)), finite for every finite x. log(1 + e) = 2 atanh(s) for s = e / (2 + e): no
    reduction is needed, as 0 <= e <= 1."""
    e = exp(m, -m.abs(x))
    s = e / (e + 2.0)
    z = s * s
    return m.select(x > 0.0, x, 0.0) + (
        e - s * (e - z * polynomial(LOG_UNIT_TAIL[m.format.name], z))
    )
