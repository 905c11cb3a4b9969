"""Faults of the system: operations that fail, processes that are killed or run at once, clocks."""

from __future__ import annotations

import builtins
import errno
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tapeless.runtime import store

from soak.children import HANGS, in_child
from soak.site import Fault, Site, run

OPERATIONS = ("open", "write", "replace", "link", "listdir", "utime", "fstat", "lstat", "mkdir",
              "unlink", "chmod", "stat")  # fmt: skip
CODES = (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO, errno.EDQUOT, errno.EMFILE,
         errno.EPERM, errno.ENOENT, errno.ESTALE, errno.ENAMETOOLONG)  # fmt: skip


def _watch(site: Site, strike: Callable[[Callable[[], Any]], Any]) -> None:
    """Hand every operation on files of the cache to `strike`, which does it or not."""
    inside = str(site.folder)

    def watched(real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*args: Any, **options: Any) -> Any:
            about = args[0] if args else ""
            name = os.readlink(f"/proc/self/fd/{about}") if isinstance(about, int) else about
            if not isinstance(name, (str, Path)) or not str(name).startswith(inside):
                return real(*args, **options)
            return strike(lambda: real(*args, **options))

        return operation

    for name in OPERATIONS:
        setattr(os, name, watched(getattr(os, name)))
    builtins.open = watched(builtins.open)


def fails_once(site: Site) -> None:
    """One operation, any one, fails; or all do from one on."""
    left, code = site.pick.randrange(60), site.pick.choice(CODES)
    for_ever = site.pick.random() < 0.3
    count = [0]

    def strike(operation: Callable[[], Any]) -> Any:
        count[0] += 1
        if count[0] == left + 1 or (for_ever and count[0] > left):
            raise OSError(code, os.strerror(code))
        return operation()

    _watch(site, strike)


def _killed_at(number: int, after: bool) -> Callable[[Site], None]:
    def inside(site: Site) -> None:
        count = [0]

        def strike(operation: Callable[[], Any]) -> Any:
            count[0] += 1
            if count[0] != number:
                return operation()
            if after:
                operation()
            os.kill(os.getpid(), signal.SIGKILL)

        _watch(site, strike)

    return inside


def killed(number: int, *, cold: bool) -> Fault:
    """Killed before or after the n-th operation on files."""
    when = "after" if number % 2 else "before"
    inside = _killed_at(number // 2, bool(number % 2))
    return Fault(f"killed {when} an operation", inside=inside, cold=cold, killed=True)


def killed_at_a_time(site: Site) -> None:
    """By a timer, wherever that is."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, site.pick.uniform(0.001, 0.6))


def file_size_limit(site: Site) -> None:
    """Writing stops in the middle, as when a disk is full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    most = site.pick.choice([0, 1, 32, 60, 700, 3000])
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


def few_descriptors(site: Site) -> None:
    used = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + site.pick.randrange(0, 3), 4096))


def small_store(site: Site) -> None:
    """Entries are pruned while they are used."""
    store.Store.limit = site.pick.choice([0, 1000, 20000, 60000])
    initialise = store.Store.__init__

    def limited(self: Any, *args: Any, **options: Any) -> None:
        initialise(self, *args, **options)
        self.limit = store.Store.limit

    store.Store.__init__ = limited  # type: ignore[method-assign]


def wrong_clock(site: Site) -> None:
    stamp = site.pick.choice([0.0, -1e9, 1e12, time.time() - 1e8, time.time() + 1e8])
    time.time = lambda: stamp


def backward_clock(site: Site) -> None:
    start = time.time()
    ticks = iter(range(10**9))
    time.time = lambda: start - 1000.0 * next(ticks)


def place(site: Site) -> None:
    """Somewhere that is none."""
    (site.folder / "file").write_text("x")
    (site.folder / "loop").symlink_to("loop")
    os.environ["TAPELESS_CACHE"] = site.pick.choice([
        str(site.folder / "file"), str(site.folder / "file/below"), str(site.folder / "loop"),
        "/dev/null", "/dev/null/x", "/proc/nowhere", str(site.folder / ("n" * 300)),
        str(site.folder / "/".join("n" * 200 for _ in range(30))), "/proc/self/fd",
        "~nobody-of-this-name/cache",
    ])  # fmt: skip


def odd_place(site: Site) -> None:
    """Somewhere unusual that works."""
    names = ["sp ace", "new\nline", "\udcff\udcfe", "ä€", "-rf", "a'b\"c", "%s{x}", "x/../y"]
    os.chdir(site.folder)
    name = site.pick.choice(names)
    os.environ["TAPELESS_CACHE"] = site.pick.choice([name, str(site.folder / name)])


def no_home(site: Site) -> None:
    del os.environ["TAPELESS_CACHE"]
    os.environ.pop("XDG_CACHE_HOME", None)
    if site.pick.random() < 0.5:
        os.environ["HOME"] = site.pick.choice(["/dev/null", "/proc/nowhere", "/nowhere/at/all\n"])
    else:
        os.path.expanduser = lambda path: path


def another_user(site: Site) -> None:
    """What lies there is somebody else's."""
    owned = os.getuid()
    os.getuid = lambda: owned + 1


def given_away(site: Site) -> None:
    """A file is somebody else's. Only root can give files away; for others it stays as it is."""
    if os.getuid() == 0:
        os.chown(site.any_file(), 12345, 12345)


def folder_vanishes(site: Site) -> None:
    """The folder is removed, or entries are, while the process works with it."""
    left = [site.pick.randrange(40)]

    def strike(operation: Callable[[], Any]) -> Any:
        left[0] -= 1
        if left[0] == 0:
            os.rename(site.folder, site.folder.with_name("moved"))
        return operation()

    _watch(site, strike)


def written_under_a_reader(site: Site) -> None:
    """Every entry is cut in the middle of a read."""
    real = os.fstat

    def fstat(descriptor: int) -> os.stat_result:
        status = real(descriptor)
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        if name.startswith(str(site.objects)) and site.pick.random() < 0.3:
            os.truncate(name, status.st_size // 2)
        return status

    os.fstat = fstat  # type: ignore[assignment]


# --- several at once ----------------------------------------------------------------------------


def forks_while_writing(site: Site) -> None:
    """A thread writes entries while children are born that run the step. They must not hang."""
    opened, stop = store.open_store(), threading.Event()

    def write() -> None:
        while opened is not None and not stop.is_set():
            opened.put(opened.key("noise", str(site.pick.randrange(20))), bytes(20000))

    threads = [threading.Thread(target=write, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    expected = run(site.step)
    for _ in range(3):
        done = in_child(lambda: run(site.step) == expected, HANGS / 4)
        if done != (True, 0):
            raise AssertionError(f"a forked child hangs or computes something else: {done}")
    stop.set()
    for thread in threads:
        thread.join(HANGS / 4)


def disk(site: Site) -> bool:
    """A full file system in the place of the folder; whether this process may mount one."""
    spare = site.folder.with_name("spare")
    os.rename(site.folder, spare)
    site.folder.mkdir()
    size = site.pick.choice([16, 32, 64])
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}k,mode=700", "none", str(site.folder)]
    try:
        done = subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        done = False
    if not done:
        site.folder.rmdir()
        os.rename(spare, site.folder)
    return done


def undisk(site: Site) -> None:
    if os.path.ismount(site.folder):
        subprocess.run(["umount", str(site.folder)], check=True)


FAULTS = [
    *[Fault("an operation fails", inside=fails_once, repairs=False) for _ in range(3)],
    *[Fault("an operation fails, cold", inside=fails_once, cold=True, repairs=False)
      for _ in range(3)],
    Fault("killed by a timer", inside=killed_at_a_time, cold=True, killed=True),
    Fault("a limit on file sizes", inside=file_size_limit, cold=True, repairs=False),
    Fault("few file descriptors", inside=few_descriptors, repairs=False),
    Fault("few file descriptors, cold", inside=few_descriptors, cold=True, repairs=False),
    Fault("pruned while used", inside=small_store, repairs=False),
    Fault("pruned while used, cold", inside=small_store, cold=True, repairs=False),
    Fault("a wrong clock", inside=wrong_clock),
    Fault("a wrong clock, cold", inside=wrong_clock, cold=True),
    Fault("a clock that goes backward", inside=backward_clock, cold=True),
    Fault("no such place", inside=place, repairs=False),
    Fault("an odd place", inside=odd_place, repairs=False),
    Fault("no home", inside=no_home, repairs=False),
    Fault("another user's folder", inside=another_user),
    Fault("another user's file", given_away),
    Fault("the folder vanishes", inside=folder_vanishes, repairs=False),
    Fault("the folder vanishes, cold", inside=folder_vanishes, cold=True, repairs=False),
    Fault("written under a reader", inside=written_under_a_reader, repairs=False),
    Fault("forks while writing", inside=forks_while_writing),
    Fault("forks while writing, cold", inside=forks_while_writing, cold=True),
    Fault("a full disk", disk, after=undisk, cold=True, repairs=False),
]  # fmt: skip
