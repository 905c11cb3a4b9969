"""Every error the package raises on purpose, all under `TapelessError`.

Each class also derives from the built-in exception that NumPy or Python would have raised, so
existing `except ValueError:` code keeps working. A message is one line: what, where in the user's
code, why, and what to write instead.
"""

from __future__ import annotations

from typing import Final

import numpy as np


class TapelessError(Exception):
    """Base of all errors raised by tapeless."""


class TraceError(TapelessError, TypeError):
    """Something in the step cannot be traced (`if x > 0`, `float(x)`, `np.random` ...)."""


class ShapeError(TapelessError, ValueError):
    """Shapes do not fit the operation."""


class DTypeError(TapelessError, TypeError):
    """Dtypes do not fit the operation."""


class UnsupportedError(TapelessError, TypeError):
    """A NumPy function, argument or dtype tapeless does not know."""


class AliasError(TapelessError, ValueError):
    """An updated argument overlaps another argument in memory."""


class ReadOnlyError(TapelessError, ValueError):
    """An updated argument is a read-only array."""


class BoundsError(TapelessError, IndexError):
    """An index is out of range."""


class LinAlgError(TapelessError, np.linalg.LinAlgError):
    """A matrix is singular, or not positive definite."""


class ScalarRangeError(TapelessError, OverflowError):
    """A Python integer does not fit the dtype it is used with."""


class VerifyError(TapelessError):
    """A graph breaks an invariant of the IR, or two executors disagree."""


class IRSyntaxError(TapelessError, ValueError):
    """IR text that does not parse."""


RUN_TIME_ERRORS: Final = (BoundsError, LinAlgError)
"""What the values of a call may raise: from these checks nothing has been written yet."""
