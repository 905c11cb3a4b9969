"""The driver: from a Python function to an executable, and what can be asked about it."""

from ..ir import late

late.common(
    __name__,
    "active",
    "api",
    "call",
    "callplan",
    "codes",
    "collecting",
    "containers",
    "content",
    "early",
    "manifest",
    "objects",
    "restored",
    "signature",
    "specialised",
    "treedef",
    "trust",
)

# What a step from the cache does without, unless somebody looks into it.
late.modules(
    __name__,
    "adapting",
    "attributes",
    "arguments",
    "callwriter",
    "checker",
    "eager",
    "entry",
    "fingerprint",
    "interpret",
    "memory",
    "native",
    "open_jacobians",
    "peaks",
    "pipeline",
    "profile",
    "program",
    "replay",
    "reports",
    "retracing",
    "table",
    "trace",
    "tree",
    "verification",
    "zeros",
)
late.packages(__name__, "codegen", "tracing")
