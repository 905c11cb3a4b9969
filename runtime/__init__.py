"""Running graphs: the NumPy interpreter, and native code through LLVM.

Only this package imports llvmlite, when something is compiled, and numba, when it is asked for.
"""

from ..ir import late

late.common(
    __name__,
    "bundle",
    "callpath",
    "callpath_native",
    "commit",
    "cores",
    "executable",
    "files",
    "identity",
    "image",
    "loading",
    "making",
    "modes",
    "places",
    "pool",
    "relink",
    "store",
)
late.modules(
    __name__,
    "archiving",
    "blas",
    "blas_proof",
    "blas_threads",
    "elf",
    "engine",
    "functions",
    "matrix",
    "needs",
    "poison",
    "pool_text",
)  # a step from the cache does without
