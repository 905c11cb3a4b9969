"""Special functions that NumPy does not have, on whole arrays.

Source of the coefficients: Cephes, `ndtr.c` (S. Moshier), after W. J. Cody, "Rational Chebyshev
approximations for the error function", Mathematics of Computation 23 (1969).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

# erf(x) = x T(x**2) / U(x**2) for |x| <= 1; erfc(x) = exp(-x**2) P(x) / Q(x) for 1 <= x <= 8.
# Constant terms first.
_ERF_T = (
    5.55923013010394962768e4, 7.00332514112805075473e3, 2.23200534594684319226e3,
    9.00260197203842689217e1, 9.60497373987051638749e0, 0.0,
)  # fmt: skip
ERF_U = (
    4.92673942608635921086e4, 2.26290000613890934246e4, 4.59432382970980127987e3,
    5.21357949780152679795e2, 3.35617141647503099647e1, 1.0,
)  # fmt: skip
ERF_V = tuple(t - u for t, u in zip(_ERF_T, ERF_U, strict=True))
"""T - U: x + x V / U rounds less than x T / U."""
ERFC_P = (
    5.57535335369399327526e2, 1.02755188689515710272e3, 9.34528527171957607540e2,
    5.26445194995477358631e2, 1.96520832956077098242e2, 4.86371970985681366614e1,
    7.46321056442269912687e0, 5.64189564831068821977e-1, 2.46196981473530512524e-10,
)  # fmt: skip
ERFC_Q = (
    5.57535340817727675546e2, 1.65666309194161350182e3, 2.24633760818710981792e3,
    1.82390916687909736289e3, 9.75708501743205489753e2, 3.54937778887819891062e2,
    8.67072140885989742329e1, 1.32281951154744992508e1, 1.0,
)  # fmt: skip
ERF_ONE = 6.0
"""erf(x) rounds to 1 from here on, in f64."""


def erf(x: Any) -> Any:
    """The error function 2/sqrt(pi) * (integral of exp(-t**2) from 0 to x), within 3 ulp.

    `x` is f32 or f64 of any shape; f32 is computed in f64.
    """
    wide = np.asarray(x, np.float64)
    a = np.minimum(np.abs(wide), ERF_ONE)  # NaN stays
    square = a * a
    near = a + a * (_horner(ERF_V, square) / _horner(ERF_U, square))
    far = 1.0 - np.exp(-square) * (_horner(ERFC_P, a) / _horner(ERFC_Q, a))
    return np.copysign(np.where(a < 1.0, near, far), wide).astype(x.dtype)


def _horner(coefficients: Sequence[float], x: Any) -> Any:
    result = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        result = result * x + coefficient
    return result
