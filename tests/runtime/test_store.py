"""The store of compiled code: whatever is wrong with a file, the entry is missing and can be
replaced; nothing raises, and one warning per process says why."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from soak.children import HANGS
from tapeless.runtime import store
from tapeless.runtime.store import Store, open_store

KEY, OTHER = "a" * 64, "b" * 64
PAYLOAD = bytes(range(256)) * 2
POSIX = pytest.mark.skipif(os.name != "posix", reason="modes and links of POSIX")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a store with one entry, in a process that has not warned yet."""
    monkeypatch.setenv("TAPELESS_CACHE", str(tmp_path))
    monkeypatch.setattr(store, "_warned", list)
    opened = open_store()
    assert opened is not None
    opened.put(KEY, PAYLOAD)
    assert opened.get(KEY) == PAYLOAD
    warned: list[str] = []
    monkeypatch.setattr(store, "_warned", lambda: warned)
    return tmp_path / "objects"


def names(folder: Path) -> set[str]:
    """The files in a store, without the entry that says what the sources of this package are."""
    return {path.name for path in folder.iterdir() if not _lists_sources(path)}


def _lists_sources(path: Path) -> bool:
    return path.is_file() and b"__init__.py" in path.read_bytes()


def assert_missing_then_repaired(key: str = KEY) -> None:
    """The entry is not found, with one warning; once stored again it is, without any."""
    with pytest.warns(RuntimeWarning, match="tapeless cache") as caught:
        opened = open_store()
        assert opened is not None
        assert opened.get(key) is None
        assert opened.get(key) is None
    assert len(caught) == 1
    opened.put(key, PAYLOAD)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = open_store()
        assert again is not None and again.get(key) == PAYLOAD


def test_an_entry_is_found_again(folder):
    opened = open_store()
    assert opened.get(KEY) == PAYLOAD
    assert opened.get(OTHER) is None
    opened.put(KEY, b"")
    assert opened.get(KEY) == b""


@POSIX
def test_nobody_else_can_read(folder):
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


ENTRY_BYTES = 52 + len(PAYLOAD)


@pytest.mark.parametrize("length", [*range(0, 60), *range(60, ENTRY_BYTES, 16)])
def test_a_truncated_entry(folder, length):
    content = (folder / KEY).read_bytes()
    assert len(content) == ENTRY_BYTES
    (folder / KEY).write_bytes(content[:length])
    assert_missing_then_repaired()


@pytest.mark.parametrize("position", [*range(0, 52), *range(52, ENTRY_BYTES, 8)])
def test_a_flipped_bit(folder, position):
    content = bytearray((folder / KEY).read_bytes())
    content[position] ^= 1 << position % 8
    (folder / KEY).write_bytes(content)
    assert_missing_then_repaired()


@pytest.mark.parametrize(
    "content", [b"garbage", b"\0" * ENTRY_BYTES, b"tapeless" * 100, b"\xff" * 2**20]
)
def test_garbage(folder, content):
    (folder / KEY).write_bytes(content)
    assert_missing_then_repaired()


def test_something_appended(folder):
    with (folder / KEY).open("ab") as file:
        file.write(b"x")
    assert_missing_then_repaired()


def test_an_entry_under_another_key(folder):
    os.replace(folder / KEY, folder / OTHER)
    assert_missing_then_repaired(OTHER)


def test_an_entry_by_another_key_file(folder):
    (folder / "key").write_bytes(bytes(32))
    assert_missing_then_repaired()


@pytest.mark.parametrize("size", [0, 1, 31, 33])
def test_a_key_file_of_the_wrong_size(folder, size):
    (folder / "key").write_bytes(bytes(size))
    assert_missing_then_repaired()


@POSIX
@pytest.mark.parametrize("mode", [0o644, 0o660, 0o602, 0o610])
@pytest.mark.parametrize("name", ["key", KEY])
def test_a_file_that_others_can_use(folder, name, mode):
    (folder / name).chmod(mode)
    assert_missing_then_repaired()


@POSIX
@pytest.mark.parametrize("name", ["key", KEY])
def test_links_are_refused(folder, name, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    os.replace(folder / name, elsewhere)
    (folder / name).symlink_to(elsewhere)
    assert_missing_then_repaired()
    assert elsewhere.exists() and not (folder / name).is_symlink()


@POSIX
@pytest.mark.parametrize("name", ["key", KEY])
def test_a_pipe_does_not_hang(folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name, 0o600)
    assert_missing_then_repaired()


@pytest.mark.parametrize("name", ["key", KEY])
def test_a_folder_in_the_place_of_a_file(folder, name):
    (folder / name).unlink()
    (folder / name).mkdir(0o700)
    assert_missing_then_repaired()


@pytest.mark.parametrize("name", ["key", KEY])
def test_a_folder_with_files_in_the_place_of_a_file(folder, name):
    (folder / name).unlink()
    (folder / name).mkdir(0o700)
    (folder / name / "inside").write_text("x")
    assert_missing_then_repaired()


@pytest.mark.parametrize("name", ["key", KEY])
def test_a_huge_file_is_not_read(folder, name):
    os.truncate(folder / name, 2**40)
    assert_missing_then_repaired()


def test_folders_of_strangers_are_pruned(folder):
    strange = folder / ".1.tmp"
    strange.mkdir()
    (strange / "inside").write_text("x")
    os.utime(strange, (0, 0))
    opened = Store(folder, bytes(32), "")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened.put(OTHER, PAYLOAD)
    assert not strange.exists() and opened.get(OTHER) == PAYLOAD


@POSIX
def test_a_folder_that_others_could_enter(folder):
    folder.chmod(0o777)
    with pytest.warns(RuntimeWarning, match="0700"):
        opened = open_store()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert opened.get(KEY) == PAYLOAD  # its MAC is right


@POSIX
def test_another_users_folder_is_not_used(folder, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.warns(RuntimeWarning, match="another user"):
        assert open_store() is None


@POSIX
def test_another_users_entry_is_not_used(folder, monkeypatch):
    opened = open_store()
    owned = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owned + 1)
    with pytest.warns(RuntimeWarning, match="another user"):
        assert opened.get(KEY) is None


def test_a_file_or_a_link_in_the_place_of_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_warned", list)
    monkeypatch.setenv("TAPELESS_CACHE", str(tmp_path))
    (tmp_path / "objects").write_text("in the way")
    with pytest.warns(RuntimeWarning, match="not a folder"):
        assert open_store() is None
    (tmp_path / "objects").unlink()
    (tmp_path / "target").mkdir()
    (tmp_path / "objects").symlink_to(tmp_path / "target")
    with pytest.warns(RuntimeWarning, match="links are refused"):
        assert open_store() is None


def test_without_a_home(monkeypatch):
    monkeypatch.setattr(store, "_warned", list)
    for name in ("TAPELESS_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.warns(RuntimeWarning, match="TAPELESS_CACHE"):
        assert open_store() is None


WRITING = ("open", "write", "replace")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("operation", WRITING)
def test_a_write_that_fails_leaves_the_old_entry(folder, monkeypatch, operation, code):
    opened = open_store()

    def fail(*arguments: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch, pytest.warns(RuntimeWarning, match="not kept") as caught:
        patch.setattr(os, operation, fail)
        opened.put(KEY, b"new")
        opened.put(OTHER, b"new")
    assert len(caught) == 1
    assert names(folder) == {KEY, "key"}
    assert opened.get(KEY) == PAYLOAD


def test_warnings_as_errors_do_not_stop_a_step(folder, capsys):
    (folder / KEY).write_bytes(b"garbage")
    opened = open_store()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert opened.get(KEY) is None
    assert "tapeless cache" in capsys.readouterr().err


# --- processes ---------------------------------------------------------------------------------

KILLED = """
import os, sys
from tapeless.runtime.store import open_store
store, operation, before = open_store(), sys.argv[1], sys.argv[2] == "before"
real = getattr(os, operation)
def die(*arguments, **options):
    if not before:
        real(*arguments, **options)
    os._exit(9)
setattr(os, operation, die)
store.put("a" * 64, b"new")
"""


def spawn(code: str, *arguments: str) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("operation", WRITING)
def test_a_killed_writer_leaves_the_old_entry_or_the_new(folder, operation, moment):
    assert spawn(KILLED, operation, moment).wait(HANGS) == 9
    opened = open_store()
    done = (operation, moment) == ("replace", "after")
    assert opened.get(KEY) == (b"new" if done else PAYLOAD)
    left = [path for path in folder.iterdir() if path.suffix == ".tmp"]
    assert len(left) == (not done and (operation, moment) != ("open", "before"))
    for path in left:
        os.utime(path, (0, 0))
    store._store.cache_clear()
    open_store().put(OTHER, b"")
    assert not any(path.exists() for path in left)


MANY = """
from tapeless.runtime.store import open_store
for i in range(20):
    store = open_store()
    found = store.get("a" * 64)
    assert found in (None, b"x" * 5000), found
    store.put("a" * 64, b"x" * 5000)
"""


def test_many_processes_on_one_key(tmp_path, monkeypatch):
    """The key file is made once, too: no process finds another's entry damaged."""
    monkeypatch.setenv("TAPELESS_CACHE", str(tmp_path))
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    code = "import warnings\n" + MANY
    processes = [spawn(code) for _ in range(8)]
    assert [process.wait(HANGS) for process in processes] == [0] * 8
    assert names(tmp_path / "objects") == {"a" * 64, "key"}


# --- size and identity -------------------------------------------------------------------------


def test_the_entries_unused_for_longest_go(folder):
    opened = Store(folder, bytes(32), "", limit=10 * 152)
    for path in folder.iterdir():
        if path.name != "key":
            path.unlink()
    for i in range(10):
        opened.put(f"{i}", bytes(100))
        os.utime(folder / f"{i}", (1000 + i, 1000 + i))
    assert opened.get("0") == bytes(100)  # used now
    opened.put("new", bytes(100))
    assert names(folder) == {"key", "new", "0", *"23456789"}


def test_the_folder_is_listed_once(folder, monkeypatch):
    opened, listed = Store(folder, bytes(32), ""), []

    def note(path):
        listed.append(path)
        return iter(())

    monkeypatch.setattr(store, "entries", note)
    for i in range(5):
        opened.put(str(i), b"")
    assert len(listed) == 1


def test_using_an_entry_is_noted(folder):
    os.utime(folder / KEY, (1000, 1000))
    open_store().get(KEY)
    assert (folder / KEY).stat().st_mtime > time.time() - 3600
