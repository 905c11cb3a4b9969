"""Tracing plain NumPy: what a step's arrays are while it is being recorded.

    source      the user's line, for nodes and for errors
    recorder    one trace: the graph under construction, gradient levels, captured arrays
    lenses      views as pairs of get and put
    array       `TracedArray`: the handle the step sees; operators, methods, NumPy dispatch
    promotion   NumPy 2's dtype rules
    elementwise, reductions, shapes, linear, indexing, creation    NumPy's functions
    misuse      what dispatch cannot catch, explained
"""
