"""The canonical form of a kernel: its text without the names it happened to get."""

from __future__ import annotations

import ast
import copy


def canonical(function: ast.FunctionDef) -> str:
    """Source in which the function, its parameters and its variables are numbered in order of
    appearance; equal texts compile to equal code."""
    tree = copy.deepcopy(function)
    tree.name = "kernel"
    local = _Locals()
    local.visit(tree)
    _Rename({name: f"v{i}" for i, name in enumerate(local.names)}).visit(tree)
    return ast.unparse(_without_docstring(tree))


def _without_docstring(tree: ast.FunctionDef) -> ast.FunctionDef:
    if ast.get_docstring(tree) is not None and len(tree.body) > 1:
        tree.body = tree.body[1:]
    return tree


class _Locals(ast.NodeVisitor):
    """Names that are parameters or assigned, in order of first appearance."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}

    def visit_arg(self, node: ast.arg) -> None:
        self.names[node.arg] = None

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self.names[node.id] = None


class _Rename(ast.NodeTransformer):
    def __init__(self, names: dict[str, str]) -> None:
        self.names = names

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.arg = self.names[node.arg]
        return node

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self.names.get(node.id, node.id)
        return node
