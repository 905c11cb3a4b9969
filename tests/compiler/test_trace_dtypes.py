"""Python numbers are weak, NumPy scalars are not (NEP 50); ints out of range never wrap."""

import numpy as np
import pytest
from conformance import conforms, conforms_or_both_refuse, run_traced, sample
from tapeless import errors
from tapeless.compiler.trace import trace

DTYPES = [np.float32, np.float64, np.int32, np.int64, np.bool_, np.uint8]


NUMBERS = [2, -1, 0.5, True, np.float64(2), np.float32(2), np.int64(3)]


def literal(code, number):
    """A function of x in which n is a literal, not an argument."""
    return lambda x: eval(code, {"x": x, "n": number})


def fits(number, dtype):
    """Whether NumPy lets a Python int meet an array of this dtype."""
    return isinstance(number, np.generic) or number != -1 or np.dtype(dtype).kind != "u"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("op", ["+", "-", "*", "/", "//", "%", "<", "=="])
def test_scalars_are_weak_or_strong(op, number, dtype):
    x = sample(dtype, 5, low=1, high=4)
    for code in (f"x {op} n", f"n {op} x"):
        if op in ("/", "<", "==") or fits(number, dtype):
            conforms_or_both_refuse(literal(code, number), x)
            conforms_or_both_refuse(lambda x, n, code=code: literal(code, n)(x), x, number)
        else:
            with pytest.raises(OverflowError):
                run_traced(literal(code, number), x)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("number", NUMBERS)
def test_powers_by_scalars(number, dtype):
    """Integers by a literal exponent, everything else with a float; the rest is refused, as is
    what NumPy refuses."""
    x = sample(dtype, 5, low=1, high=4)
    for code in ("x ** n", "n ** x"):
        power = literal(code, number)
        try:
            integers = power(x).dtype.kind in "iu"
        except (TypeError, ValueError, OverflowError):
            with pytest.raises((TypeError, OverflowError)):
                run_traced(power, x)
            continue
        if integers and (code == "n ** x" or isinstance(number, np.generic)):
            with pytest.raises(errors.UnsupportedError, match="integer"):
                run_traced(power, x)
        else:
            conforms(power, x, exact=False)


def test_python_numbers_stay_weak_through_arithmetic():
    def fn(x, lr, n, flag):
        return x * (lr / 2), x * (n + 1), x + lr**2, (n // 2) * x, -lr * x, (1 - lr) ** n * x, lr

    conforms(fn, np.ones(3, np.float32), 0.1, 3, True, exact=False)
    conforms(lambda x, n: (x * -n, x / n, x * (n / 2), x * (7 % n)), np.ones(3), 2)
    with pytest.raises(TypeError, match="depends on its sign"):
        run_traced(lambda x, n: x * 2**n, np.ones(3), 2)


def test_numpy_functions_make_numbers_strong():
    conforms(lambda x, lr: x * np.sqrt(lr), np.ones(3, np.float32), 0.25)
    conforms(lambda x, lr: x * lr, np.ones(3, np.float32), np.float64(0.25))


def test_python_ints_out_of_range():
    x = np.ones(3, np.int32)
    for number in (2**31, -(2**40)):
        with pytest.raises(OverflowError):
            run_traced(literal("x + n", number), x)
        for code in ("x < n", "n >= x", "x == n"):
            conforms(literal(code, number), x)
        conforms(lambda x, n=number: x < n, x)
        conforms(lambda x, n=number: n >= x, x)
        conforms(lambda x, n=number: x == n, x)
    assert trace(lambda x, n: x + n, (x, 5), {}).int_ranges == ((1, np.dtype(np.int32)),)
    assert trace(lambda x, n: x + n, (x.astype(np.int64), 5), {}).int_ranges == ()
