"""Facts about the machine, and where files go."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from tapeless.runtime import machine
from tapeless.runtime.places import cache_directory, source_directory


def test_describe_is_a_readable_table():
    facts = machine.describe()
    text = str(facts)
    for word in ("python", "numpy", "numba", "llvmlite", "cpu", "blas", "cache", "cores"):
        assert word in text
    assert facts.versions["numpy"]
    assert facts.cores >= 1


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("TAPELESS_CACHE", str(tmp_path / "here"))
    assert cache_directory() == str(tmp_path / "here")
    folder = source_directory()
    assert folder == str(tmp_path / "here" / "source")
    if os.name == "posix":
        assert os.stat(folder).st_mode & 0o077 == 0


@pytest.mark.skipif(sys.platform != "linux", reason="XDG is a Linux convention")
def test_the_default_cache_is_the_users(monkeypatch):
    monkeypatch.delenv("TAPELESS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_directory() == str(Path("/somewhere/tapeless"))


def test_a_file_in_the_way_is_reported_as_not_writable(monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("TAPELESS_CACHE", str(blocked / "cache"))
    with pytest.raises(OSError):
        source_directory()
    assert not machine.describe().cache_writable
