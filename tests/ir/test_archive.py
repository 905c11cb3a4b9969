"""The archive of a package's compiled Python: what is in it is imported as ever, and whatever is
wrong with it changes nothing."""

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from tapeless.ir import archive
from tapeless.runtime import archiving

PACKAGE = {
    "__init__.py": """
from tapeless.ir import archive, late
archive.use("parcel")
late.modules(__name__, "slow")
late.common(__name__, "usual", "steady")
""",
    "plain.py": "value = 41\n\ndef where():\n    return where.__code__.co_filename\n",
    "inner/__init__.py": "from .leaf import value\n",
    "inner/leaf.py": "value = 7\n",
    "more.py": "value = 3\n",
    "slow.py": "value = 5\n",
    "usual.py": "from .steady import value\n",
    "steady.py": "value = 11\n",
}
Load = Callable[..., list[ModuleType]]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in PACKAGE.items():
        file = tmp_path / "parcel" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(archiving, "SETTLED", 0)
    yield tmp_path / "parcel"
    _forget(tmp_path)


def _forget(folder: Path) -> None:
    """As in a new process."""
    for name in [n for n in sys.modules if n.partition(".")[0] == "parcel"]:
        del sys.modules[name]
    for path in [p for p in sys.path_importer_cache if p.startswith(str(folder))]:
        del sys.path_importer_cache[path]
    archiving.done_with.cache_clear()


def load(root: Path, *names: str) -> list[ModuleType]:
    _forget(root.parent)
    return [importlib.import_module(name) for name in ("parcel", *names)][1:]


def path(root: Path) -> Path:
    (found,) = root.glob("__pycache__/archive.*")
    return found


def without_files_of_their_own(root: Path) -> None:
    """Only the archive is left."""
    for file in root.rglob("*.pyc"):
        if file.name.partition(".")[0] not in ("archive", "__init__"):
            file.unlink()


def is_from_archive(module: ModuleType) -> bool:
    assert module.__spec__ is not None
    return type(module.__spec__.loader) is archive._Loader


NAMES = ("parcel.plain", "parcel.inner", "parcel.inner.leaf")


def test_modules_come_out_as_they_would_without(root):
    before = load(root, *NAMES)
    archiving.leave("parcel")
    without_files_of_their_own(root)
    after = load(root, *NAMES)
    assert not any(map(is_from_archive, before)) and all(map(is_from_archive, after))
    for one, other in zip(before, after, strict=True):
        for name in ("name", "origin", "cached", "has_location", "parent"):
            assert getattr(one.__spec__, name) == getattr(other.__spec__, name)
        assert one.__spec__.submodule_search_locations == other.__spec__.submodule_search_locations
        assert (one.__file__, one.__cached__) == (other.__file__, other.__cached__)
        assert getattr(one, "__path__", None) == getattr(other, "__path__", None)
    plain, inner, _ = after
    assert plain.where() == str(root / "plain.py")
    assert (plain.value, inner.value) == (41, 7)
    assert not list(root.glob("__pycache__/plain.*"))  # nothing was compiled


def test_an_edit_is_seen_even_if_size_and_time_are_the_same(root):
    load(root, *NAMES)
    archiving.leave("parcel")
    without_files_of_their_own(root)
    source = root / "plain.py"
    status = source.stat()
    source.write_text(PACKAGE["plain.py"].replace("41", "42"))
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    plain, inner, _ = load(root, *NAMES)
    assert (plain.value, is_from_archive(plain), is_from_archive(inner)) == (42, False, True)
    archiving.leave("parcel")
    without_files_of_their_own(root)
    (plain,) = load(root, "parcel.plain")
    assert (plain.value, is_from_archive(plain)) == (42, True)


def test_common_modules_lie_together_and_each_is_as_its_source_is_now(root):
    for module in load(root, "parcel.usual", "parcel.plain"):
        assert module.value
    archiving.leave("parcel")
    without_files_of_their_own(root)
    entries = archive.Archive(str(path(root))).entries
    assert entries["parcel.usual"] == entries["parcel.steady"] != entries["parcel.plain"]
    (root / "usual.py").write_text("from .steady import value\nvalue += 1\n")
    usual, steady = load(root, "parcel.usual", "parcel.steady")
    assert (usual.value, steady.value) == (12, 11)
    assert not is_from_archive(usual) and is_from_archive(steady)


def test_a_module_that_is_loaded_again_is_read_again(root):
    load(root, *NAMES)
    archiving.leave("parcel")
    (plain,) = load(root, "parcel.plain")
    (root / "plain.py").write_text("value = 'longer'\n")
    assert importlib.reload(plain).value == "longer"


def test_what_is_loaded_later_is_added(root):
    load(root, "parcel.plain")
    archiving.leave("parcel")
    first = path(root).stat().st_ino
    load(root, "parcel.plain")
    archiving.leave("parcel")
    assert path(root).stat().st_ino == first  # all of it was there
    load(root, "parcel.more")
    archiving.leave("parcel", "parcel.inner", "parcel.slow")
    without_files_of_their_own(root)
    modules = load(root, "parcel.plain", "parcel.more", *NAMES[1:], "parcel.slow")
    assert [module.value for module in modules] == [41, 3, 7, 7, 5]
    assert all(map(is_from_archive, modules))


def test_a_module_is_looked_at_once_when_it_is_settled(root, monkeypatch):
    load(root, "parcel.plain")
    monkeypatch.setattr(archiving, "SETTLED", 10**15)
    archiving.leave("parcel")
    assert not list(root.glob("__pycache__/archive.*"))
    monkeypatch.setattr(archiving, "SETTLED", 0)
    archiving.leave("parcel")
    first = path(root).stat().st_ino
    with monkeypatch.context() as patched:
        patched.setattr(archiving, "Archive", _refused)  # who looks finds nothing, and writes
        archiving.leave("parcel")
        assert path(root).stat().st_ino == first
    importlib.import_module("parcel.more")
    archiving.leave("parcel")
    assert "parcel.more" in archive.Archive(str(path(root))).entries


@pytest.mark.parametrize("damage", ["empty", "cut", "index", "replaced", "python", "gone"])
def test_a_defective_archive_changes_nothing(root, damage, monkeypatch):
    load(root, *NAMES)
    archiving.leave("parcel")
    file = path(root)
    content = file.read_bytes()
    if damage == "python":
        monkeypatch.setattr(sys, "version", "3.99")
    elif damage == "gone":
        file.unlink()
    else:
        index = content[: archive.MARK + 8] + b"junk" * 9
        file.write_bytes({"empty": b"", "cut": content[: len(content) // 2]}.get(damage, index))
    if damage == "replaced":  # by another one, after the package has opened it
        file.write_bytes(content)
        load(root)
        file.write_bytes(b"\0" * archive.MARK + content[archive.MARK :].replace(content[:16], b""))
        plain, inner = (importlib.import_module(name) for name in NAMES[:2])
    else:
        plain, inner, _ = load(root, *NAMES)
    assert (plain.value, inner.value) == (41, 7)
    assert not is_from_archive(plain) or damage == "cut"


@pytest.mark.parametrize("why", ["told", "changed just now", "no folder", "read only"])
def test_nothing_is_left_where_it_cannot_be(root, why, monkeypatch):
    load(root, *NAMES)
    if why == "told":
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
    elif why == "changed just now":
        monkeypatch.setattr(archiving, "SETTLED", 10**12)
    elif why == "no folder":
        for file in (root / "__pycache__").iterdir():
            file.unlink()
        (root / "__pycache__").rmdir()
    else:
        monkeypatch.setattr(archiving, "replace", _refused)
    archiving.leave("parcel")
    plain, _, _ = load(root, *NAMES)
    assert plain.value == 41 and not is_from_archive(plain)


def _refused(path: str, content: bytes = b"") -> None:
    raise PermissionError(path)
