"""The intermediate representation: what flows through the compiler.

graph = ir.parse(text)      str(graph) prints the same text again
ir.verify(graph)            VerifyError for the first broken invariant
"""

from . import ops
from .graph import Graph, Loc, Node, Value
from .parse import parse
from .types import Type
from .verify import verify

__all__ = ["Graph", "Loc", "Node", "Type", "Value", "ops", "parse", "verify"]
