"""The intermediate representation: what flows through the compiler.

graph = ir.parse(text)      str(graph) prints the same text again
ir.verify(graph)            VerifyError for the first broken invariant
"""

from typing import TYPE_CHECKING

from . import late

if TYPE_CHECKING:
    from . import ops
    from .graph import Graph, Loc, Node, Value
    from .parse import parse
    from .types import Type
    from .verify import verify

late.common(__name__, "record", "types")
late.modules(__name__, "errors", "location", "record_fields")  # a step from the cache does without
late.functions(__name__, "parse", "verify")
_HOMES = {".": ("ops",), ".graph": ("Graph", "Loc", "Node", "Value"), ".types": ("Type",)}
__getattr__, __dir__ = late.names(__name__, _HOMES)

__all__ = ["Graph", "Loc", "Node", "Type", "Value", "ops", "parse", "verify"]
