"""The pool of threads: every chunk once, whoever calls, whatever sleeps, forks or exits."""

from __future__ import annotations

import ctypes
import os
import platform
import time
from itertools import chain

import numpy as np
import pytest
from soak.children import in_child, in_threads
from tapeless.runtime import pool_text
from tapeless.runtime.cores import wanted_threads
from tapeless.runtime.link import assemble, link
from tapeless.runtime.pool import (
    EXPORTS,
    MOST_THREADS,
    TRIAL_WORDS,
    export_pool,
    has_pool,
    thread_count,
)
from tapeless.runtime.pool_text import ALONE, LONG, ROUND, SHORTEST, TRIED

linux = pytest.mark.skipif(not has_pool(), reason="no pool here")

TEXT = """
declare void @tapeless_split(ptr, ptr, i64)
declare i64 @pthread_self()
declare i32 @sched_yield()

define internal void @count(ptr %y, i64 %c) {
  %p = getelementptr i64, ptr %y, i64 %c
  %old = atomicrmw add ptr %p, i64 1 monotonic
  ret void
}
define internal void @again(ptr %y, i64 %c) {
  call void @tapeless_split(ptr @count, ptr %y, i64 5)
  ret void
}
define internal void @half(ptr %y, i64 %c) {
  %p = getelementptr double, ptr %y, i64 %c
  %x = load double, ptr %p
  %h = fmul double %x, 0.5
  store double %h, ptr %p
  ret void
}
; The caller notes its chunks, from y[2] on, their count in y[1]; a worker does not finish its chunk
; before the caller has finished all others.
define internal void @stuck(ptr %y, i64 %c) {
  %self = call i64 @pthread_self()
  %caller = load i64, ptr %y
  %count.p = getelementptr i64, ptr %y, i64 1
  %is.caller = icmp eq i64 %self, %caller
  br i1 %is.caller, label %note, label %wait
note:
  %n = load atomic i64, ptr %count.p monotonic, align 8
  %place = getelementptr i64, ptr %count.p, i64 %n
  %next = getelementptr i64, ptr %place, i64 1
  store i64 %c, ptr %next
  %more = add i64 %n, 1
  store atomic i64 %more, ptr %count.p release, align 8
  ret void
wait:
  %ignored = call i32 @sched_yield()
  %done = load atomic i64, ptr %count.p acquire, align 8
  %others = icmp eq i64 %done, 8
  br i1 %others, label %leave, label %wait
leave:
  ret void
}
define void @stuck_worker(ptr %y, i64 %chunks, i64 %regions) {
  %self = call i64 @pthread_self()
  store i64 %self, ptr %y
  %count.p = getelementptr i64, ptr %y, i64 1
  store i64 0, ptr %count.p
  call void @tapeless_split(ptr @stuck, ptr %y, i64 9)
  ret void
}
define void @halves(ptr %y, i64 %chunks, i64 %regions) {
  call void @tapeless_split(ptr @half, ptr %y, i64 %chunks)
  ret void
}
"""
LOOP = """
define void @{name}(ptr %y, i64 %chunks, i64 %regions) {{
  br label %loop
loop:
  %i = phi i64 [ 0, %0 ], [ %next, %loop ]
  call void @tapeless_split(ptr @{task}, ptr %y, i64 %chunks)
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %regions
  br i1 %more, label %loop, label %done
done:
  ret void
}}
"""
FUNCTIONS = ("counts", "nested", "halves", "stuck_worker")


class Pool:
    """Functions (array, chunks, regions) that run regions without holding the GIL."""

    def __init__(self, exported=None):
        text = TEXT + LOOP.format(name="counts", task="count")
        text += LOOP.format(name="nested", task="again")
        exported = exported or export_pool(None)
        self.linked = link([assemble(text, None)], FUNCTIONS, exported)
        self.use = ctypes.CFUNCTYPE(None, ctypes.c_int64)(exported["tapeless_use_threads"])

    def run(self, name, array, chunks, regions=1):
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
        kind(self.linked.addresses[name])(array.ctypes.data, chunks, regions)


@pytest.fixture(scope="module")
def pool():
    made = Pool()
    yield made
    made.use(1)


def tasks():
    """The threads of this process."""
    return set(os.listdir("/proc/self/task"))


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
@pytest.mark.parametrize("chunks", [0, 1, 2, 7, 64, 4095, 4096])
def test_every_chunk_runs_once_per_region(pool, threads, chunks):
    pool.use(threads)
    counts = np.zeros(chunks + 1, np.int64)
    pool.run("counts", counts, chunks, 30)
    assert (counts[:chunks] == 30).all() and counts[chunks] == 0


def test_no_chunk_is_lost_where_threads_and_chunks_change_from_region_to_region(pool):
    rng = np.random.default_rng(0)
    counts, expected = np.zeros(40, np.int64), np.zeros(40, np.int64)
    for _ in range(1500):
        threads, chunks, regions = map(int, rng.integers(1, (7, 40, 4)))
        pool.use(threads)
        pool.run("counts", counts, chunks, regions)
        expected[:chunks] += regions
        assert (counts == expected).all(), (threads, chunks)


@linux
def test_the_caller_runs_its_own_range_and_what_a_stuck_worker_has_left(pool):
    """Of 9 chunks the first 5 are the caller's. The worker holds at most one, or sleeps."""
    pool.use(2)
    noted = np.zeros(11, np.int64)
    for _ in range(300):
        pool.run("stuck_worker", noted, 9)
        ran = noted[2 : 2 + noted[1]].tolist()
        own, left = ran[:5], ran[5:]
        assert own == [0, 1, 2, 3, 4]
        assert left in ([8, 7, 6], [8, 7, 6, 5])


def test_where_there_is_no_pool_the_caller_does_all():
    alone = link([assemble(ALONE, None)], EXPORTS, {})
    pool = Pool(alone.addresses)
    pool.use(4)
    counts = np.zeros(10, np.int64)
    pool.run("counts", counts, 9, 3)
    pool.run("counts", counts, 0, 3)
    assert (counts[:9] == 3).all() and counts[9] == 0


def test_sleeping_workers_are_woken_and_counted(pool):
    pool.use(3)
    counts = np.zeros(8, np.int64)
    for k in range(40):
        pool.run("counts", counts, 7, 3)
        time.sleep(0.0007 * (k % 4))  # around the millisecond after which they sleep
    assert (counts[:7] == 120).all() and counts[7] == 0


def test_a_region_inside_a_region_runs_alone(pool):
    pool.use(4)
    counts = np.zeros(6, np.int64)
    pool.run("nested", counts, 9, 50)
    assert (counts[:5] == 450).all() and counts[5] == 0


@pytest.mark.parametrize("callers", [2, 16])
def test_several_threads_call_at_once(pool, callers):
    pool.use(3)
    counts = np.zeros(9, np.int64)
    in_threads(lambda _: pool.run("counts", counts, 9, 2000), callers)
    assert (counts == 2000 * callers).all()


@linux
def test_a_forked_child_makes_its_own_workers(pool):
    pool.use(3)
    counts = np.zeros(9, np.int64)
    pool.run("counts", counts, 9)

    def run() -> list[int]:
        alone = len(tasks())
        pool.run("counts", counts, 9, 100)
        return [alone, len(tasks()), *counts.tolist()]

    for _ in range(3):
        assert in_child(run) == ([1, 3] + [101] * 9, 0)
    pool.run("counts", counts, 9)
    assert (counts == 2).all()


@linux
def test_workers_take_no_signals(pool):
    pool.use(1)
    before = tasks()
    pool.use(MOST_THREADS)
    pool.run("counts", np.zeros(100, np.int64), 100)
    hired = tasks() - before
    assert hired
    for task in hired:
        with open(f"/proc/self/task/{task}/status") as file:
            fields = dict(line.split(":\t", 1) for line in file if ":\t" in line)
        blocked = int(fields["SigBlk"], 16)
        assert all(blocked >> (signal - 1) & 1 for signal in (2, 14, 15))


@linux
@pytest.mark.skipif(platform.machine() != "x86_64", reason="sets MXCSR")
def test_workers_have_the_modes_of_the_caller(pool):
    """Subnormal results are flushed on all threads or on none."""
    text = """
declare void @llvm.x86.sse.ldmxcsr(ptr)
define void @modes(i64 %bits) {
  %place = alloca i64
  store i64 %bits, ptr %place
  call void @llvm.x86.sse.ldmxcsr(ptr %place)
  ret void
}"""
    linked = link([assemble(text, None)], ("modes",), {})
    modes = ctypes.CFUNCTYPE(None, ctypes.c_int64)(linked.addresses["modes"])
    pool.use(4)
    for bits, expected in ((0x1F80, 1e-310 / 2), (0x9FC0, 0.0)):  # DAZ and FTZ in the second
        for _ in range(50):
            numbers = np.full(64, 1e-310)
            modes(bits)
            try:
                pool.run("halves", numbers, 64)
            finally:
                modes(0x1F80)
            assert (numbers == expected).all()


EXIT = """
import threading, time, sys
import numpy as np
from tests.runtime.test_pool import Pool
pool = Pool()
pool.use(3)
counts = np.zeros(9, np.int64)
pool.run("counts", counts, 9, 100)
if sys.argv[1] == "asleep":
    time.sleep(0.05)
if sys.argv[1] == "calling":
    arguments = ("counts", counts, 9, 10**12)
    threading.Thread(target=pool.run, args=arguments, daemon=True).start()
    time.sleep(0.05)
print("done")
"""


@pytest.mark.parametrize("state", ["spinning", "asleep", "calling"])
def test_the_process_ends(python, state):
    assert python("-c", EXIT, state) == "done\n"


def test_the_count_of_threads(monkeypatch):
    monkeypatch.delenv("TAPELESS_THREADS", raising=False)
    assert thread_count(1) == 1
    assert thread_count() == (min(wanted_threads(), MOST_THREADS) if has_pool() else 1)
    monkeypatch.setenv("TAPELESS_THREADS", "3")
    assert thread_count() == (3 if has_pool() else 1)
    assert thread_count(2) == (2 if has_pool() else 1)
    assert thread_count(10**6) <= MOST_THREADS


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "2 3"])
def test_a_variable_that_is_no_count_is_an_error(monkeypatch, text):
    monkeypatch.setenv("TAPELESS_THREADS", text)
    with pytest.raises(ValueError, match="TAPELESS_THREADS must be a positive integer"):
        thread_count()
    assert thread_count(1) == 1


def test_the_text_for_the_other_processor():
    from llvmlite import binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple("aarch64-linux-gnu").create_target_machine(cpu="generic")
    module = llvm.parse_assembly(pool_text.text("aarch64"))
    module.verify()
    assembly = target.emit_assembly(module)
    for instruction in ("yield", "FPCR", "bl\tsyscall", "#98"):
        assert instruction.lower() in assembly.lower()


@linux
@pytest.mark.parametrize("slow", ["many", "one"])
def test_a_program_runs_on_as_many_threads_as_are_faster(slow):
    """Calls are told that they began earlier than they did."""
    exported = export_pool(None)
    word, pointer = ctypes.c_int64, ctypes.c_void_p
    begin = ctypes.CFUNCTYPE(word, pointer, word)(exported["tapeless_begin"])
    end = ctypes.CFUNCTYPE(None, pointer, word, word)(exported["tapeless_end"])
    trial = np.zeros(TRIAL_WORDS, np.int64)
    rounds = [SHORTEST]
    while rounds[-1] < ROUND:
        rounds.append(2 * rounds[-1])
    counts = []
    for _ in range(sum(rounds) + ROUND):
        began = begin(trial.ctypes.data, 3)
        counts.append(int(trial[-1]))
        late = (counts[-1] > 1) == (slow == "many")
        end(trial.ctypes.data, 3, began - (LONG // 10 if late else 0))
    best = 1 if slow == "many" else 3
    tried = [3] * TRIED + [1] * TRIED
    expected = ([*tried, *[best] * (calls - len(tried))] for calls in [*rounds, ROUND])
    assert counts == list(chain.from_iterable(expected))


@linux
def test_a_choice_from_a_busy_start_does_not_last():
    """All threads are slower in the first trial, and faster in the second."""
    exported = export_pool(None)
    word, pointer = ctypes.c_int64, ctypes.c_void_p
    begin = ctypes.CFUNCTYPE(word, pointer, word)(exported["tapeless_begin"])
    end = ctypes.CFUNCTYPE(None, pointer, word, word)(exported["tapeless_end"])
    trial = np.zeros(TRIAL_WORDS, np.int64)
    counts = []
    for call in range(2 * SHORTEST):
        began = begin(trial.ctypes.data, 2)
        counts.append(int(trial[-1]))
        late = counts[-1] == (2 if call < SHORTEST else 1)
        end(trial.ctypes.data, 2, began - (LONG // 10 if late else 0))
    assert counts[SHORTEST - 1] == 1
    assert counts[-1] == 2


@linux
def test_long_steps_and_single_threads_are_not_tried():
    exported = export_pool(None)
    word, pointer = ctypes.c_int64, ctypes.c_void_p
    begin = ctypes.CFUNCTYPE(word, pointer, word)(exported["tapeless_begin"])
    end = ctypes.CFUNCTYPE(None, pointer, word, word)(exported["tapeless_end"])
    for threads in (1, 4):
        trial = np.zeros(TRIAL_WORDS, np.int64)
        for _ in range(3 * TRIED):
            began = begin(trial.ctypes.data, threads)
            assert trial[-1] == threads, "long, or alone"
            end(trial.ctypes.data, threads, began - 2 * LONG)
