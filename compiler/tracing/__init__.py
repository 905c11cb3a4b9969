"""Tracing plain NumPy: what a step's arrays are while it is being recorded.

source      the user's line, for nodes and for errors
constants   concrete arrays in the graph
recorder    one trace: the graph under construction, its arrays, captured arrays
lenses      views as pairs of get and put
handle      a buffer seen through lenses: reading, writing, views
masked      what x[mask] reads
traced      `TracedArray`: the handle the step sees; operators and methods
dispatch    NumPy's protocols: from a function or ufunc to what stands in for it
known       values that depend on no argument
promotion   NumPy 2's dtype rules
registry    the table of functions, filled by the other files, one per theme (elementwise,
            reductions, shapes, indexing, linear ...); `dispatch` imports them all
misuse      what dispatch cannot catch, explained
ownership   concrete arrays updated in place: who else holds them
reachable   traced arrays kept behind the trace's back
generators  random numbers drawn behind it
"""

from typing import TYPE_CHECKING

from ...ir import late

if TYPE_CHECKING:
    from . import reachable as reachable

late.modules(__name__, "reachable", "source")  # what looks into a step is loaded when one is traced
