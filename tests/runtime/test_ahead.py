"""Object code made by other processes: the same bits, errors where they belong, forks, Ctrl-C."""

from __future__ import annotations

import ast
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import llvmlite
import pytest
from soak.children import in_child, in_threads
from soak.interrupts import _AtInstruction
from tapeless.runtime import link, llvm_process, workers
from tapeless.runtime.ahead import Crew, ahead, dropping, host_features, made
from tapeless.runtime.function_text import function_text
from tapeless.runtime.lowering import lower
from tapeless.runtime.products import products_text
from tapeless.runtime.vector_text import registers

if TYPE_CHECKING:
    from tapeless.runtime.loading import Form

FORMS: tuple[Form, ...] = ("optimised", "loops", "straight")
needs_processes = pytest.mark.skipif(not hasattr(os, "posix_spawn"), reason="needs posix_spawn")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


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
HOST = registers(host_features())
LOOP = lower(_FUNCTION, ("f32*", "i64"), "k", HOST).text
"""What it calls becomes part of the loop after that is vectorised."""


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Crew]:
    """Two processes of the test's own."""
    found = Crew()
    monkeypatch.setenv("TAPELESS_PROCESSES", "2")
    monkeypatch.setattr("tapeless.runtime.ahead.crew", lambda: found)
    yield found
    for worker in found.workers:
        worker.close()


def command(change: str) -> Callable[[], list[str]]:
    """A command that starts a process after a change of its module."""
    program, *flags, script, folder = workers._command()
    path = f"import sys; sys.path.append({os.path.dirname(script)!r}); import llvm_process as p"
    return lambda: [program, *flags, "-c", f"{path}; {change}; p.main()", folder]


@needs_processes
def test_processes_make_what_llvmlite_makes_here(here):
    texts = [*map(text, range(12)), function_text("exp", "f32"), function_text("tanh", "f64"), LOOP]
    texts.append(products_text(HOST, "f32"))
    asked = [(source, form) for source in texts for form in FORMS][:-3]
    asked.append((texts[-1], "loops"))
    for source, form in asked:
        ahead(source, form)
    assert len(here.workers) == 2
    assert {one: made(*one) for one in asked} == {one: link.object_code(*one) for one in asked}
    assert here.works and not here.jobs


@needs_processes
def test_they_say_the_features_llvmlite_says(here):
    from tapeless.runtime import host

    assert host_features() == host.host_features()
    assert here.features is not None


def test_the_functions_are_as_llvmlite_declares_them(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    known, declared = llvm_process.FUNCTIONS, llvm_process.compared("")
    assert llvmlite.__version__ not in llvm_process.KNOWN or declared == known
    monkeypatch.setattr(llvm_process, "FUNCTIONS", known | {"ContextCreate": "pp"})
    with pytest.raises(SystemExit, match="ContextCreate"):
        llvm_process.compared("")
    monkeypatch.setattr(llvm_process, "OLDER", {"ContextCreate": "p"})
    assert llvm_process.compared("")["ContextCreate"] == "p"


@needs_processes
def test_an_error_is_raised_where_the_code_is_asked_for(here):
    ahead("define nonsense", "loops")
    ahead(text(1), "loops")
    assert made(text(1), "loops") == link.object_code(text(1), "loops")
    with pytest.raises(RuntimeError) as theirs:
        made("define nonsense", "loops")
    with pytest.raises(RuntimeError) as ours:
        link.object_code("define nonsense", "loops")
    assert str(theirs.value).split() == str(ours.value).split()
    assert here.works


@needs_processes
def test_texts_and_code_that_fill_pipes(here):
    large = ["".join(text(n).replace("@f", f"@{k}f") for n in range(900)) for k in "abcd"]
    for source in large:
        ahead(source, "straight")
    assert [len(made(source, "straight")) > 1 << 16 for source in large] == [True] * 4


NOWHERE = {
    "none wanted": ("TAPELESS_PROCESSES", "0"),
    "not a Python": ("executable", "/usr/bin/env"),
    "no such Python": ("executable", "/nowhere/python3"),
    "frozen": ("frozen", True),
    "none known": ("executable", None),
}


@pytest.mark.parametrize("reason", NOWHERE)
def test_where_there_are_none_this_process_makes_it(reason, here, monkeypatch):
    name, value = NOWHERE[reason]
    if name.isupper():
        monkeypatch.setenv(name, value)
    else:
        monkeypatch.setattr(sys, name, value, raising=False)
    ahead(text(1), "straight")
    assert made(text(1), "straight") == link.object_code(text(1), "straight")
    assert host_features() and not here.workers and not here.jobs and not here.left


@pytest.mark.parametrize("count", ["two", "-1", "1.5"])
def test_a_number_of_processes_that_is_none(count, monkeypatch):
    monkeypatch.setenv("TAPELESS_PROCESSES", count)
    with pytest.raises(ValueError, match=f"TAPELESS_PROCESSES must be 0 or .* not '{count}'"):
        made(text(1), "straight")


FAILING = {
    "it cannot start": "sys.exit()",
    "it speaks another language": "p.VERSION = b'tapeless 0'",
    "its library lacks a function": "p.FUNCTIONS['Missing'] = '-'",
    "its library is unknown and another": "p.KNOWN = (); p.FUNCTIONS['ContextCreate'] = 'pp'",
    "it dies at work": "p.LLVM.object_code = lambda *x: sys.exit()",
    "it is killed in an answer": "p.HEADER, p.write = p.HEADER, lambda k, a, w=p.write: w(k, a) if "
    "k == p.HELLO else (p.os.write(1, p.HEADER.pack(9, p.IMAGE) + b'part'), p.os.kill(0, 9))",
}


@needs_processes
@pytest.mark.parametrize("reason", FAILING)
def test_what_a_process_that_fails_had_to_do_is_done_here(reason, here, monkeypatch):
    monkeypatch.setattr(workers, "_command", command(FAILING[reason]))
    for number in range(5):
        ahead(text(number), "straight")
    images = [made(text(number), "straight") for number in range(5)]
    assert images == [link.object_code(text(number), "straight") for number in range(5)]
    assert not here.works and not here.workers


@needs_processes
@pytest.mark.parametrize("change", ["p.KNOWN = ()", "p.PATIENCE = 0.001"])
def test_processes_that_compare_or_leave_early_make_all(change, here, monkeypatch):
    monkeypatch.setattr(workers, "_command", command(change))
    for number in range(4):
        ahead(text(number), "straight")
        time.sleep(0.02 * number)
    images = [made(text(number), "straight") for number in range(4)]
    assert images == [link.object_code(text(number), "straight") for number in range(4)]
    assert here.works


@needs_processes
def test_an_interrupt_at_any_instruction_loses_nothing(here):
    expected = [link.object_code(text(number), "straight") for number in range(3)]

    def compile_all() -> None:
        with dropping():
            for number in range(3):
                ahead(text(number), "straight")
            for number in range(3):
                made(text(number), "straight")

    compile_all()
    for n in (*range(1, 60, 7), *range(60, 1500, 97)):
        _AtInstruction(n).during(compile_all, ())
        assert [made(text(number), "straight") for number in range(3)] == expected
        assert here.works


class Prompt:
    """In the place of a process: answers once, as soon as it may, and notes what it was sent."""

    features = "+fma"

    def __init__(self) -> None:
        self.jobs: deque[workers.Job] = deque()
        self.sent: list[str] = []
        self.may_answer = False

    def send(self, job: workers.Job) -> None:
        self.jobs.append(job)
        self.sent.append(job.text)

    def exchange(self) -> None:
        while self.may_answer and self.jobs:
            self.jobs.popleft().image = b""

    def close(self) -> None:
        pass


@needs_processes
def test_what_is_interrupted_leaves_the_rest_undone(here):
    here.workers += [Prompt(), Prompt()]
    with pytest.raises(KeyboardInterrupt), dropping():
        for number in range(9):
            ahead(text(number), "loops")
        assert len(here.left) == 5  # two are with each process
        raise KeyboardInterrupt
    assert not here.left and not here.jobs
    here.workers.clear()
    assert made(text(8), "loops") == link.object_code(text(8), "loops")


def test_what_is_asked_for_comes_before_what_is_only_announced(here, monkeypatch):
    process = Prompt()
    here.workers.append(process)
    monkeypatch.setenv("TAPELESS_PROCESSES", "1")
    monkeypatch.setattr("tapeless.runtime.ahead.wait_for", lambda workers: None)
    for name in "abcde":
        ahead(name, "loops")
    assert process.sent == ["a", "b"]  # one to do, and one so that it need not wait
    process.may_answer = True
    made("e", "loops")
    assert process.sent == ["a", "b", "e"]
    assert [made(name, "loops") for name in "abcd"] == [b""] * 4
    assert process.sent == ["a", "b", "e", "c", "d"]


@needs_processes
def test_threads_compile_at_once(here):
    expected = [link.object_code(text(number), "optimised") for number in range(4)]
    found = [b""] * 4

    def work(k: int) -> None:
        ahead(text(k), "optimised")
        found[k] = made(text(k), "optimised")

    in_threads(work, 4)
    assert found == expected


@needs_fork
def test_a_forked_child_has_processes_of_its_own(here, monkeypatch):
    """However long the child takes: processes with nothing to do would leave meanwhile."""
    monkeypatch.setattr(workers, "_command", command("p.PATIENCE = 3600"))
    expected = [link.object_code(text(number), "optimised").hex() for number in range(8)]
    os.register_at_fork(after_in_child=here.forget)
    for number in range(8):
        ahead(text(number), "optimised")
    theirs = list(here.workers)

    def all_made() -> list[object]:
        closed = [not os.path.exists(f"/dev/fd/{worker._answers}") for worker in theirs]
        images = [made(text(number), "optimised").hex() for number in range(8)]
        return [closed, images, here.works, len(here.workers)]

    assert in_child(all_made) == ([[True, True], expected, True, 2], 0)
    assert [made(text(number), "optimised").hex() for number in range(8)] == expected
    assert here.workers == theirs


SURROUNDED = """
import ctypes, os, signal
from tapeless.runtime.ahead import crew, made

os.environ["TAPELESS_PROCESSES"] = "1"
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # orphans of its children become its own
os.setpgid(0, 0)
reader, writer = os.pipe()
os.set_inheritable(writer, True)
child = os.fork()
if child == 0:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    made("define void @f() { ret void }", "loops")
    os.killpg(0, signal.SIGINT)
    made("define void @g() { ret void }", "loops")
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        if crew().works and crew().workers:
            os.close(writer)
            os.write(1, b"still there, nobody's child")
            os.kill(os.getpid(), signal.SIGKILL)
    os._exit(1)
signal.signal(signal.SIGINT, signal.SIG_IGN)
os.close(writer)
assert os.read(reader, 1) == b""  # no process keeps what others have opened
assert os.waitpid(child, 0)[1] == signal.SIGKILL
os.wait()  # the process ended, for what it worked for has
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets orphans be waited for")
def test_ctrl_c_and_the_end_of_who_asks(python):
    assert python("-c", SURROUNDED) == "still there, nobody's child"


def test_the_module_is_not_needed_for_a_step_from_the_cache(python):
    lazy = {"threading", "tapeless.runtime.ahead", "tapeless.runtime.workers"}
    loaded = "import sys, numpy; numpys = set(sys.modules); import tapeless.runtime.module"
    python("-c", f"{loaded}; assert not {lazy} & (set(sys.modules) - numpys)")
