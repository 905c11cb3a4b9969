"""The digest of what decides machine code: every edit of the sources changes it, whatever their
times say, and nothing is read again without need."""

from __future__ import annotations

import os
import time

import pytest
from tapeless.runtime import identity
from tapeless.runtime.store import Store


def test_every_field_changes_the_identity():
    found = identity.fields(identity.sources())
    assert set(found) == {
        "python", "system", "numpy", "numba", "llvmlite", "tapeless", "processor", "settings",
    }  # fmt: skip
    assert all(found.values())
    digests = {identity.identity_of(found | {name: found[name] + "x"}) for name in found}
    assert len(digests | {identity.identity_of(found)}) == len(found) + 1


def test_numbas_settings_are_part_of_the_identity(monkeypatch):
    package = identity.sources()
    before = identity.fields(package)["settings"]
    monkeypatch.setenv("NUMBA_OPT", "1")
    assert identity.fields(package)["settings"] != before


SOURCES = (
    "__init__.py",
    "ir/a.py",
    "ir/ops/b.py",
    "runtime/c.ll",
    "passes/d.py",
    "library/nn/e.py",
)


def package(folder):
    """A package that has not been touched for an hour, as far as anybody can see."""
    for name in SOURCES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x = 1")
    return str(folder)


class Later:
    """A clock that is hours ahead: files written now are old."""

    @staticmethod
    def time_ns():
        return time.time_ns() + 10**13


@pytest.fixture
def store(tmp_path):
    (tmp_path / "objects").mkdir()
    return Store(str(tmp_path / "objects"), bytes(32), "")


@pytest.fixture
def kept(store, monkeypatch):
    monkeypatch.setattr(identity, "time", Later)
    return store


@pytest.mark.parametrize("change", SOURCES)
def test_an_edit_of_equal_size_and_time_changes_the_digest_of_the_sources(tmp_path, kept, change):
    root = package(tmp_path / "package")
    before = identity.sources(kept, root)
    assert identity.sources(kept, root) == before == identity.sources(None, root)
    status = (tmp_path / "package" / change).stat()
    (tmp_path / "package" / change).write_text("x = 2")
    os.utime(tmp_path / "package" / change, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = identity.sources(kept, root)
    assert after.every != before.every
    assert (after.code == before.code) == change.startswith("library")


def test_sources_that_are_known_are_not_read(tmp_path, kept, monkeypatch):
    root = package(tmp_path / "package")
    before = identity.sources(kept, root)
    monkeypatch.setattr(identity, "_content", None)
    assert identity.sources(kept, root) == before
    os.replace(tmp_path / "package/ir/a.py", tmp_path / "package/ir/f.py")
    with pytest.raises(TypeError):
        identity.sources(kept, root)


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("change", ["added", "removed", "in a new folder", "nothing"])
def test_what_is_in_the_folders_is_known_until_it_changes(
    tmp_path, kept, monkeypatch, settled, change
):
    root = package(tmp_path / "package")
    with monkeypatch.context() as patched:
        if not settled:  # when they were looked at
            patched.setattr(identity, "_if", lambda state, settled: None)
        before = identity.sources(kept, root)
    if change == "added":
        (tmp_path / "package/ir/ops/new.py").write_text("")
    elif change == "removed":
        (tmp_path / "package/runtime/c.ll").unlink()
    elif change == "in a new folder":
        (tmp_path / "package/passes/more").mkdir()
        (tmp_path / "package/passes/more/new.py").write_text("")
    elif settled:
        monkeypatch.setattr(os, "listdir", None)
    assert (identity.sources(kept, root) == before) == (change == "nothing")
    assert identity.sources(kept, root) == identity.sources(kept, root)


def test_sources_changed_just_now_are_always_read(tmp_path, store, monkeypatch):
    root = package(tmp_path / "package")
    identity.sources(store, root)
    monkeypatch.setattr(identity, "_content", None)
    with pytest.raises(TypeError):
        identity.sources(store, root)


def test_sources_that_change_while_they_are_read_are_not_remembered(tmp_path, kept, monkeypatch):
    root, read = package(tmp_path / "package"), identity._content

    def changing(path):
        content = read(path)
        if path.endswith("c.ll"):
            (tmp_path / "package/runtime/c.ll").write_text("y")
        return content

    monkeypatch.setattr(identity, "_content", changing)
    before = identity.sources(kept, root)
    monkeypatch.undo()
    assert identity.sources(None, root) != before
    monkeypatch.setattr(identity, "time", Later)
    assert identity.sources(kept, root) == identity.sources(None, root)


def test_parts_do_not_run_together():
    parts = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc")]
    assert len({identity.digest(*p) for p in parts}) == len(parts)
