"""Running graphs: the NumPy interpreter, and native code through Numba and LLVM.

Only this package imports numba and llvmlite, and only when something is compiled.
"""
