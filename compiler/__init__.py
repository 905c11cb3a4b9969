"""The driver: from a Python function to an executable, and what can be asked about it."""

from ..ir import late

# What a step from the cache does without, unless somebody looks into it.
late.modules(
    __name__,
    "adapting",
    "arguments",
    "callwriter",
    "checker",
    "codegen",
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
    "replay",
    "reports",
    "restored",
    "retracing",
    "table",
    "trace",
    "tracing",
    "verification",
    "zeros",
)
