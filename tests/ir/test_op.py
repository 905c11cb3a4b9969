"""The registry of op records."""

from dataclasses import replace

import pytest
from tapeless.ir.builder import complete_attrs
from tapeless.ir.errors import TapelessError
from tapeless.ir.op import OPS, ZERO, define
from tapeless.ir.types import F64, I64


def test_a_name_is_defined_once():
    with pytest.raises(ValueError, match="op neg is defined twice"):
        define(replace(OPS["neg"]))
    assert repr(OPS["neg"]) == "Op(neg)"


def test_what_is_differentiable():
    assert OPS["mul"].differentiable
    assert not OPS["floor"].differentiable
    assert OPS["dot_acc"].differentiable  # asking for its derivative is an error, not a zero
    assert ZERO(None, None, 0, None) == ()


def test_attributes_are_completed_in_the_records_order():
    assert list(complete_attrs(OPS["iota"], {"n": 3}).items()) == [("n", 3), ("dtype", I64)]
    full = complete_attrs(OPS["iota"], {"dtype": F64, "n": 3})
    assert list(full.items()) == [("n", 3), ("dtype", F64)]
    with pytest.raises(TypeError):
        full["n"] = 4


def test_attributes_missing_or_unknown():
    with pytest.raises(TapelessError, match=r"iota: unknown attributes \['m'\], missing \['n'\]"):
        complete_attrs(OPS["iota"], {"m": 3})
