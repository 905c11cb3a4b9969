"""Compiled steps in a second process: found, with the same bits; or made again."""

from __future__ import annotations

import marshal
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from soak.children import HANGS
from tapeless.runtime.store import Store, open_store

STEP = """
import sys
import numpy as np
import tapeless as tl

def loss(p, x, y):
    h = np.tanh(x @ p["W"] + p["b"])
    return tl.nn.cross_entropy(h @ p["V"], y)

@tl.compile(cache={cache})
def step(p, x, y, lr):
    value, g = tl.value_and_grad(loss)(p, x, y)
    for k in p:
        p[k] -= lr * g[k]
    return value

rng = np.random.default_rng(0)
p = {{"W": rng.standard_normal((40, 32)), "b": np.zeros(32), "V": rng.standard_normal((32, 5))}}
x, y = rng.standard_normal((16, 40)), rng.integers(0, 5, 16)
values = [step(p, x, y, 0.1) for _ in range(3)]
bits = b"".join(a.tobytes() for a in [*values, *p.values()]).hex()
made_here = ["tapeless.runtime.lowering", "tapeless.runtime.routines"]
print(bits, any(name in sys.modules for name in made_here))
"""


Result = tuple[str, bool, str]
Run = Callable[..., Result]


def run_in(cache: Path, scripts: Path, code: str, **extra: str) -> Result:
    """Run a script in a new process; the bits of what it computed, whether a kernel was compiled,
    and the error output."""
    environment = os.environ | {
        "TAPELESS_CACHE": str(cache),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    script = scripts / "train.py"
    script.write_text(code)
    command = [sys.executable, str(script)]
    done = subprocess.run(
        command, env=environment | extra, capture_output=True, text=True, timeout=HANGS
    )
    assert done.returncode == 0, done.stderr
    bits, compiled = done.stdout.split()
    return bits, compiled == "True", done.stderr


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scripts")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, scripts: Path) -> tuple[Path, Result]:
    """The folder that a first process left, and what it computed."""
    folder = tmp_path_factory.mktemp("first")
    return folder, run_in(folder, scripts, STEP.format(cache=True))


@pytest.fixture
def cold(first: tuple[Path, Result]) -> str:
    """The bits of the first process."""
    return first[1][0]


@pytest.fixture
def run(first: tuple[Path, Result], scripts: Path, tmp_path: Path) -> Run:
    """`run(code)`: a process on a copy of what the first one left, in `tmp_path`."""
    shutil.copytree(first[0], tmp_path, dirs_exist_ok=True)

    def start(code: str = STEP, cache: bool = True, **extra: str) -> Result:
        return run_in(tmp_path, scripts, code.format(cache=cache), **extra)

    return start


def objects(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("objects/*") if path.name != "key")


def contents(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Store, dict[str, bytes]]:
    """The store in a folder, and its entries by name."""
    monkeypatch.setenv("TAPELESS_CACHE", str(folder))
    store = open_store()
    assert store is not None
    found = {path.name: store.get(path.name) for path in objects(folder)}
    return store, {name: payload for name, payload in found.items() if payload is not None}


def is_program(payload: bytes) -> bool:
    """Whether an entry is a program that is found without a trace."""
    return payload[:1] in (b"[", b"\xdb")  # a list of `marshal`'s


def name_of(entries: dict[str, bytes], payload: bytes) -> str:
    return next(name for name, other in entries.items() if other == payload)


def test_a_second_process_takes_what_the_first_compiled(first, run, tmp_path):
    cold, compiled, warned = first[1]
    assert compiled and not warned
    files = objects(tmp_path)
    assert run() == (cold, False, "")
    assert objects(tmp_path) == files


def test_without_blas_the_tiles_come_from_the_cache_too(run):
    cold, compiled, _ = run(TAPELESS_BLAS="off")
    warm, again, _ = run(TAPELESS_BLAS="off")
    assert (compiled, again) == (True, False)
    assert warm == cold


def test_cache_false_neither_reads_nor_writes(cold, run, tmp_path):
    before = objects(tmp_path)
    times = [path.stat().st_mtime_ns for path in before]
    bits, compiled, _ = run(cache=False)
    assert compiled and bits == cold
    assert [path.stat().st_mtime_ns for path in before] == times
    shutil.rmtree(tmp_path / "objects")
    shutil.rmtree(tmp_path / "source")
    run(cache=False)
    assert list(tmp_path.iterdir()) == []


def test_other_names_and_lines_are_the_same_kernels(cold, run):
    renamed = "# a line more\n" + STEP.replace('"W"', '"weights"').replace("loss", "error")
    assert run(renamed) == (cold, False, "")


def test_another_constant_is_another_kernel(run):
    _, compiled, _ = run(STEP.replace("np.tanh(x", "1.25 * np.tanh(x"))
    assert compiled


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[:-7],
    "empty": lambda content: b"",
    "flipped": lambda content: content[:-1] + bytes([content[-1] ^ 4]),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_entries_are_compiled_again_with_one_warning(cold, run, tmp_path, damage):
    for path in objects(tmp_path):
        path.write_bytes(DAMAGE[damage](path.read_bytes()))
    bits, compiled, warned = run()
    assert bits == cold and compiled
    assert warned.count("tapeless cache:") == 1
    assert run() == (cold, False, "")


def test_code_that_cannot_be_loaded_is_compiled_again(cold, run, tmp_path, monkeypatch):
    """The MAC is right, what it guards is not: object code of something else."""
    store, entries = contents(tmp_path, monkeypatch)
    for name, payload in entries.items():
        if b"kernel_" in payload[:100]:
            at = payload.index(b"\x7fELF")
            store.put(name, payload[:at] + bytes(64) + payload[at + 64 :])
    assert run() == (cold, False, "")  # all code of the program is in one entry, too
    (whole,) = filter(is_program, entries.values())
    (tmp_path / "objects" / name_of(entries, whole)).unlink()
    bits, _, warned = run()
    assert bits == cold
    assert warned.count("tapeless cache:") == 1
    assert run() == (cold, False, "")


@pytest.mark.parametrize("code", [b"", b"nonsense", [b"nonsense", [{}, (), False], {}]])
def test_a_program_whose_code_is_of_another_form_is_put_together(
    cold, run, tmp_path, monkeypatch, code
):
    store, entries = contents(tmp_path, monkeypatch)
    (whole,) = filter(is_program, entries.values())
    names, asked, (*known, (manifest, _)) = marshal.loads(whole)
    changed = [names, asked, [*known, [manifest, code]]]
    store.put(name_of(entries, whole), marshal.dumps(changed))
    assert run() == (cold, False, "")


def test_a_program_is_one_entry(cold, run, tmp_path, monkeypatch):
    _, entries = contents(tmp_path, monkeypatch)
    for name, payload in entries.items():
        if not is_program(payload):
            (tmp_path / "objects" / name).unlink()
    assert run() == (cold, False, "")


def test_a_folder_that_cannot_be_made_costs_one_warning(cold, run, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    bits, compiled, warned = run(TAPELESS_CACHE=str(blocked))
    assert compiled and warned.count("tapeless cache:") == 1
    assert bits == cold


FULL = """
import os, errno
def full(descriptor, content):
    raise OSError(errno.ENOSPC, "No space left on device")
os.write = full
"""


def test_a_full_disk_costs_one_warning(cold, run, tmp_path):
    for path in objects(tmp_path):
        path.unlink()
    bits, _, warned = run(FULL + STEP)
    assert bits == cold and warned.count("tapeless cache:") == 1
    assert objects(tmp_path) == []


def test_listings_compile_nothing(run):
    """Source, LLVM text and assembly of a step that came from the cache."""
    code = (
        STEP
        + """
program = step.programs[0]
assert "define" in str(program.llvm()) and "kernel_" in str(program.asm())
assert "def step(t)" in str(program.source())
assert "cache" in str(program.timings())
"""
    )
    assert not run(code)[1]


LIGHT = """
modules = dict(sys.modules)
assert not [n for n in modules if n.startswith(("numba", "llvmlite", "tapeless.passes."))]
assert "tapeless.ir.graph" not in modules and "tapeless.compiler.tracing.recorder" not in modules
late = [n for n, module in modules.items() if type(module).__name__ == "_Late"]
unused = "adapting arguments attributes callwriter checker codegen eager entry fingerprint"
unused += " interpret memory native open_jacobians peaks pipeline profile program replay reports"
unused += " retracing table trace tracing tree verification zeros"
unused = ["tapeless.compiler." + n for n in unused.split()]
unused += ["tapeless.ir." + n for n in "location record_fields".split()]
unused += ["tapeless.runtime." + n for n in "archiving blas blas_proof blas_threads".split()]
unused += ["tapeless.runtime." + n for n in "elf engine functions matrix needs pool_text".split()]
assert sorted(late) == unused, late
"""


def test_a_second_process_loads_neither_passes_nor_code_generation(cold, run):
    assert run(STEP + LIGHT) == (cold, False, "")


NO_PASS = """
pipeline.lower, codegen.generate = real
made = step.programs[0]
assert type(made) is tl.Program and made is step.lower(p, x, y, 0.1)
assert [p.name for p in made.timings().phases] == ["cache", "cache", "bind"]
fresh = tl.compile(step.function, cache=False).lower(p, x, y, 0.1)
assert all(made.ir(stage) == fresh.ir(stage) for stage in made.stages)
assert made.verify(p, x, y, 0.1)
"""


def test_a_second_process_runs_no_pass(cold, run):
    """Unless somebody asks for a stage, which then is the same."""
    before = (
        "from tapeless.compiler import codegen, pipeline; real = pipeline.lower, codegen.generate; "
    )
    before += "pipeline.lower = codegen.generate = None"
    code = before + STEP + NO_PASS  # the lines of the step do not move
    assert run(code) == (cold, False, "")


def test_a_program_whose_kernels_are_gone_is_compiled_again(cold, run, tmp_path, monkeypatch):
    _, entries = contents(tmp_path, monkeypatch)
    for name, payload in entries.items():
        if b"kernel_" in payload[:16]:
            (tmp_path / "objects" / name).unlink()
    assert run() == (cold, False, "")  # all code of the program is in one entry, too
    (whole,) = filter(is_program, entries.values())
    (tmp_path / "objects" / name_of(entries, whole)).unlink()
    assert run() == (cold, True, "")
    assert run() == (cold, False, "")


LOOKUP = """
import sys
import numpy as np
import tapeless as tl
{gap}
@tl.compile(cache={cache})
def pick(x, i):
    return x[i]

pick(np.arange(3.0), np.array([1]))
try:
    pick(np.arange(3.0), np.array([7]))
except tl.errors.BoundsError as error:
    assert ":{line}: " in str(error), error
    assert "index" in str(error), error
print("ok", "tapeless.runtime.lowering" in sys.modules)
"""


@pytest.mark.parametrize("moved", [0, 2])
def test_errors_of_a_cached_program_name_the_line_it_has_now(run, moved):
    def code(gap: int) -> str:
        return LOOKUP.replace("{gap}", "\n" * gap).replace("{line}", str(8 + gap))

    run(code(0))
    assert not run(code(moved))[1]


def test_the_values_are_numpys(cold):
    """What the other tests compare is right in the first place."""
    rng = np.random.default_rng(0)
    W, V = rng.standard_normal((40, 32)), rng.standard_normal((32, 5))
    x, y = rng.standard_normal((16, 40)), rng.integers(0, 5, 16)
    z = np.tanh(x @ W) @ V
    expected = np.mean(np.log(np.exp(z).sum(1)) - z[np.arange(16), y])
    value = np.frombuffer(bytes.fromhex(cold[:16]))
    np.testing.assert_allclose(value, [expected], rtol=1e-12)
