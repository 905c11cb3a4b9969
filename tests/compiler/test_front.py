"""The front: every public name is there, and importing and tracing stay light."""

import ast
from pathlib import Path

import pytest
import tapeless as tl

NAMES = [
    *("compile", "CompiledFunction", "Program", "compare", "grad", "value_and_grad", "vjp", "jvp"),
    *(
        "jacobian",
        "hessian",
        "check_grads",
        "nn",
        "optim",
        "random",
        "tree",
        "ir",
        "interpret",
        "errors",
    ),
    *("random", "__version__"),
]


@pytest.mark.parametrize("name", NAMES)
def test_public_name(name):
    assert hasattr(tl, name)


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("tree", "map leaves flatten unflatten count"),
        ("ir", "parse verify Graph"),
        ("optim", "sgd adam"),
        ("random", "key split fold_in bits uniform normal bernoulli randint permutation"),
        (
            "nn",
            "relu sigmoid softmax log_softmax logsumexp cross_entropy binary_cross_entropy"
            " binary_cross_entropy_with_logits mse_loss softplus leaky_relu tanh elu silu xlogy",
        ),
        (
            "errors",
            "TapelessError TraceError ShapeError DTypeError UnsupportedError AliasError"
            " ReadOnlyError BoundsError LinAlgError ScalarRangeError VerifyError IRSyntaxError",
        ),
    ],
)
def test_public_members(module, names):
    for name in names.split():
        assert hasattr(getattr(tl, module), name), name


def test_type_checkers_are_told_what_is_there():
    """The imports under TYPE_CHECKING, the table of late names and `__all__` agree."""
    tree = ast.parse(Path(tl.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    told = {(node.module, alias.name) for node in block.body for alias in node.names}
    homes = {("tapeless" + home.rstrip("."), n) for home, ns in tl._HOMES.items() for n in ns}
    assert told == homes
    assert sorted(name for _, name in told) == sorted(tl.__all__)


def test_star_import():
    scope = {}
    exec("from tapeless import *", scope)
    assert set(tl.__all__) <= set(scope)
    assert set(tl.__all__) | {"__version__"} <= set(dir(tl))


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="module 'tapeless' has no attribute 'adam'"):
        _ = tl.adam


LIGHT = """
import sys, numpy as np
import tapeless as tl
import tapeless.compiler.cli
heavy = ("numba", "llvmlite", "scipy")
assert not any(name in sys.modules for name in heavy), "import"
step = tl.compile(lambda w: tl.grad(lambda w: np.sum(np.tanh(w) ** 2))(w))
w = np.ones(3)
step.interpret(w)
program = step.lower(w)
for stage in program.stages:
    program.ir(stage)
program.zeros(), program.cost(), program.memory(), program.timings()
tl.check_grads(lambda w: np.sum(w * w), (w,))
assert not any(name in sys.modules for name in heavy), "tracing"
step(w)
from tapeless.runtime.ahead import crew
from tapeless.runtime.image import is_suited
assert "numba" not in sys.modules
assert ("llvmlite" in sys.modules) is not (is_suited() and crew().works), "compiling"
program.asm()
assert "llvmlite" in sys.modules
"""


def test_no_step_loads_numba_and_compiling_llvmlite_only_where_processes_cannot(
    python, monkeypatch, tmp_path
):
    monkeypatch.setenv("TAPELESS_ENGINE", "direct")
    monkeypatch.setenv("TAPELESS_CACHE", str(tmp_path))
    python("-c", LIGHT)
    monkeypatch.setenv("TAPELESS_CACHE", str(tmp_path / "other"))
    monkeypatch.setenv("TAPELESS_PROCESSES", "0")
    python("-c", LIGHT.replace("crew().works", "False"))
