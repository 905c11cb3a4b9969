"""Object code made by several threads: the same bits, errors where they belong, forks, Ctrl-C."""

from __future__ import annotations

import ast
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from soak.children import in_child
from tapeless.runtime import isolated, link
from tapeless.runtime.ahead import ahead, crew, dropping, made
from tapeless.runtime.function_text import function_text
from tapeless.runtime.host import host_features
from tapeless.runtime.loading import Form
from tapeless.runtime.lowering import lower
from tapeless.runtime.vector_text import registers

FORMS: tuple[Form, ...] = ("optimised", "loops", "straight")


def text(number: int) -> str:
    """A function that sums numbers of a kind of its own."""
    return f"""
define i64 @f{number}(ptr %x, i64 %n) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %sum = phi i64 [ {number}, %entry ], [ %more, %loop ]
  %at = getelementptr i64, ptr %x, i64 %i
  %value = load i64, ptr %at
  %more = add i64 %sum, %value
  %next = add i64 %i, 1
  %left = icmp slt i64 %next, %n
  br i1 %left, label %loop, label %done
done:
  ret i64 %more
}}
"""


_FUNCTION = ast.parse("def k(x, n):\n  for i in range(n):\n    x[i] = exp_f32(x[i])").body[0]
assert isinstance(_FUNCTION, ast.FunctionDef)
LOOP = lower(_FUNCTION, ("f32*", "i64"), "k", registers(host_features())).text
"""What it calls becomes part of the loop after that is vectorised."""


@pytest.fixture(autouse=True)
def three_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TAPELESS_THREADS", "3")
    yield
    while crew()._busy:
        time.sleep(0.001)
    crew().drop()


def by_llvmlite(source: str, form: Form, monkeypatch: pytest.MonkeyPatch) -> bytes:
    with monkeypatch.context() as patch:
        patch.setattr(isolated, "object_code", lambda text, form: None)
        return link.object_code(source, form)


def test_threads_make_what_llvmlite_makes(monkeypatch):
    texts = [*map(text, range(20)), function_text("exp", "f32"), function_text("tanh", "f64"), LOOP]
    expected = {(s, f): by_llvmlite(s, f, monkeypatch) for s in texts for f in FORMS}
    assert isolated.object_code(texts[0], "loops") == expected[texts[0], "loops"]
    for source, form in expected:
        ahead(source, form)
    assert {asked: made(*asked) for asked in expected} == expected


@pytest.mark.parametrize("signatures", [{"Missing": "-"}, {"DisposeModule": "-pp"}])
def test_a_library_with_other_functions_is_left_to_llvmlite(signatures, monkeypatch):
    monkeypatch.setattr(isolated, "_SIGNATURES", isolated._SIGNATURES | signatures)
    monkeypatch.setattr(isolated, "_functions", isolated._functions.__wrapped__)
    assert isolated.object_code(text(0), "loops") is None
    assert made(text(0), "loops").startswith(b"\x7fELF") or os.name == "nt"


def test_an_error_is_raised_where_the_code_is_asked_for():
    ahead("define nonsense", "loops")
    ahead(text(1), "loops")
    assert made(text(1), "loops")
    with pytest.raises(RuntimeError, match="parsing"):
        made("define nonsense", "loops")


@pytest.mark.parametrize("reason", ["one core", "no threads"])
def test_without_other_threads_the_caller_makes_all(reason, monkeypatch):
    def refuse(**parts: object) -> None:
        assert reason == "no threads"
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading, "Thread", refuse)
    if reason == "one core":
        monkeypatch.setenv("TAPELESS_THREADS", "1")
    for number in range(4):
        ahead(text(number), "straight")
    assert all(made(text(number), "straight") for number in range(4))


class Gate:
    """In the place of LLVM: notes what was begun, and goes on when it may."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun: list[str] = []
        self.entered, self.open = threading.Semaphore(0), threading.Event()
        monkeypatch.setattr(link, "object_code", self.make)

    def make(self, text: str, form: Form) -> bytes:
        self.begun.append(text)
        self.entered.release()
        self.open.wait()
        return text.encode()


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals to a thread")
def test_what_is_interrupted_leaves_the_rest_undone(monkeypatch):
    gate = Gate(monkeypatch)
    main = threading.main_thread().ident
    assert main is not None
    with pytest.raises(KeyboardInterrupt), dropping():
        for name in "abcd":
            ahead(name, "loops")
        gate.entered.acquire()
        gate.entered.acquire()
        threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGINT)).start()
        for name in "ab":  # both are being made, and c and d by nobody yet
            crew()._jobs[name, "loops"].result()
    gate.open.set()
    assert sorted(gate.begun) == ["a", "b"]
    assert made("a", "loops") == b"a" and made("d", "loops") == b"d"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_waits_for_threads_in_llvm_and_the_child_makes_the_rest(monkeypatch):
    gate = Gate(monkeypatch)
    for name in "abcd":
        ahead(name, "loops")
    gate.entered.acquire()
    gate.entered.acquire()
    threading.Timer(0.05, gate.open.set).start()
    child = in_child(lambda: [made(name, "loops").decode() for name in "abcd"])
    assert child == (["a", "b", "c", "d"], 0)
    assert [made(name, "loops") for name in "abcd"] == [b"a", b"b", b"c", b"d"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forks_while_threads_compile():
    expected = [made(text(number), "optimised") for number in range(8)]
    for _ in range(3):
        for number in range(8):
            ahead(text(number), "optimised")
        child = in_child(lambda: [made(text(n), "optimised").hex() for n in range(8)])
        assert child == ([image.hex() for image in expected], 0)
        assert [made(text(number), "optimised") for number in range(8)] == expected


def test_the_module_is_not_needed_for_a_step_from_the_cache(python):
    lazy = {"threading", "tapeless.runtime.ahead"}
    python("-c", f"import sys, tapeless.runtime.module; assert not {lazy} & set(sys.modules)")
