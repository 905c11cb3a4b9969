"""Seeded bugs, and the ways to plant one; `hunt.py` looks for them.

A bug is planted by replacing a function or a table entry of a pass, a rule, an emitter or the
planner while a process lasts. Nothing of this is in the product. The bugs are listed in
`bugs_in_passes.py` and `bugs_in_code.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tapeless.ir.op import OPS
from tapeless.passes.rewriting.rules import Apply, Rule, RulePass

Plant = Callable[[], None]


@dataclass(frozen=True)
class Bug:
    """What is wrong, the kind of program that can show it, and how to plant it."""

    name: str
    kind: str
    plant: Plant


# Ways to plant one


def instead(target: Any, name: str, value: Any) -> Plant:
    """Another value for an attribute of a module, class or record."""
    return lambda: setattr_anywhere(target, name, value)


def setattr_anywhere(target: Any, name: str, value: Any) -> None:
    """Also on frozen records."""
    if isinstance(target, type) or not hasattr(target, "__dataclass_fields__"):
        setattr(target, name, value)
    else:
        object.__setattr__(target, name, value)


def table(target: Mapping[str, Any], name: str, value: Any) -> Plant:
    """Another entry of a table."""
    assert isinstance(target, dict)
    return lambda: target.update({name: value})


def together(*plants: Plant) -> Plant:
    """Several replacements that are one bug."""

    def plant() -> None:
        for each in plants:
            each()

    return plant


def around(target: Any, name: str, wrap: Callable[[Any], Any]) -> Plant:
    """`wrap(original)` in place of a function."""
    return lambda: setattr_anywhere(target, name, wrap(getattr(target, name)))


def scalar(op: str, text: str) -> Plant:
    """Another expression for an op in generated code."""
    return instead(OPS[op], "scalar", text)


def wrong_rule(where: RulePass, name: str, wrap: Callable[[Apply], Apply]) -> Plant:
    """A rewrite rule whose function is another."""

    def plant() -> None:
        assert any(r.name == name for r in where.rules), name
        where.rules = tuple(
            Rule(r.name, r.identity, r.heads, wrap(r.apply)) if r.name == name else r
            for r in where.rules
        )

    return plant


def spoiled(where: RulePass, name: str, spoil: Callable[[Any, Any], Any]) -> Plant:
    """A rewrite rule whose result is changed: `spoil(site, value)`."""

    def wrap(apply: Apply) -> Apply:
        def wrong(site: Any) -> Any:
            value = apply(site)
            return None if value is None else spoil(site, value)

        return wrong

    return wrong_rule(where, name, wrap)


__all__ = [
    "Bug", "around", "instead", "scalar", "spoiled", "table", "together", "wrong_rule",
]  # fmt: skip
