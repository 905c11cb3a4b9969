"""Faults of files: what lies in the cache folder is not what a process left there."""

from __future__ import annotations

import os
import pickle
import shutil
import socket
import struct
import time
from pathlib import Path

from soak.site import Fault, Site


def _rewrite(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)


def cut(site: Site) -> None:
    """Any length, each length of the header as likely as all others together."""
    path = site.any_file()
    content = path.read_bytes()
    short = min(56, len(content) - 1)
    _rewrite(path, content[: site.pick.randrange(site.pick.choice([short, len(content)]))])


def flip(site: Site) -> None:
    path = site.any_file()
    content = bytearray(path.read_bytes())
    for _ in range(site.pick.choice([1, 1, 1, 2, 50])):
        size = site.pick.choice([min(56, len(content)), len(content)])
        content[site.pick.randrange(size)] ^= 1 << site.pick.randrange(8)
    _rewrite(path, bytes(content))


def blank(site: Site) -> None:
    """A block of zeros, as after a crash of the system."""
    path = site.any_file()
    content = bytearray(path.read_bytes())
    start = site.pick.randrange(len(content))
    length = min(site.pick.choice([16, 512, 4096]), len(content) - start)
    content[start : start + length] = bytes(length)
    _rewrite(path, bytes(content))


def longer(site: Site) -> None:
    path = site.any_file()
    _rewrite(path, path.read_bytes() + site.pick.randbytes(site.pick.choice([1, 52, 5000])))


def swap(site: Site) -> None:
    first, second = site.pick.sample(site.entries(), 2)
    one, two = first.read_bytes(), second.read_bytes()
    _rewrite(first, two)
    _rewrite(second, one)


def foreign(site: Site) -> None:
    """An entry that another user's process made: the MAC is by another key."""
    path = site.any_entry()
    content = bytearray(path.read_bytes())
    content[20:52] = site.pick.randbytes(32)
    _rewrite(path, bytes(content))


def other_version(site: Site) -> None:
    path = site.any_entry()
    content = bytearray(path.read_bytes())
    content[8:12] = struct.pack("<I", site.pick.choice([0, 2, 2**32 - 1]))
    _rewrite(path, bytes(content))


def wrong_length(site: Site) -> None:
    path = site.any_entry()
    content = bytearray(path.read_bytes())
    content[12:20] = struct.pack("<Q", site.pick.choice([0, 1, 2**31, 2**63, 2**64 - 1]))
    _rewrite(path, bytes(content))


class _Hostile:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.marker),)


def hostile(site: Site) -> None:
    """A pickle that would make a folder, object code and a shell script: bare, behind a header, and
    in the place of a payload whose header is left."""
    payload = site.pick.choice([
        pickle.dumps(_Hostile(site.marker)),
        b"\x7fELF\x02\x01\x01" + site.pick.randbytes(2000),
        f"#!/bin/sh\nmkdir {site.marker}\n".encode(),
        f"__import__('os').mkdir({str(site.marker)!r})\n".encode(),
    ])  # fmt: skip
    path = site.any_entry()
    content = path.read_bytes()
    header = struct.pack("<8sIQ32s", b"tapeless", 1, len(payload), site.pick.randbytes(32))
    bodies = [payload, header + payload, content[:52] + payload, content[:60] + payload]
    _rewrite(path, site.pick.choice(bodies))


def random_bytes(site: Site) -> None:
    _rewrite(site.any_file(), site.pick.randbytes(site.pick.choice([0, 1, 32, 52, 53, 10000])))


def gone(site: Site) -> None:
    site.any_file().unlink()


def most_gone(site: Site) -> None:
    for path in site.pick.sample(site.entries(), len(site.entries()) - 1):
        path.unlink()


def open_to_others(site: Site) -> None:
    site.any_file().chmod(site.pick.choice([0o644, 0o660, 0o602, 0o610, 0o604, 0o777]))


def folder_open_to_others(site: Site) -> None:
    path = site.pick.choice([site.objects, site.folder / "source"])
    path.chmod(site.pick.choice([0o777, 0o755, 0o710, 0o701, 0o770]))


def linked(site: Site) -> None:
    path = site.any_file()
    target = site.folder / "elsewhere"
    if site.pick.random() < 0.7:
        os.replace(path, target)
    else:
        path.unlink()
    path.symlink_to(site.pick.choice([target, Path(path.name), Path("/dev/zero")]))


def special(site: Site) -> None:
    """A pipe, a folder (with something in it or not), a socket in the place of a file."""
    path = site.any_file()
    path.unlink()
    match site.pick.randrange(4):
        case 0:
            os.mkfifo(path, 0o600)
        case 1:
            path.mkdir(0o700)
        case 2:
            path.mkdir(0o700)
            (path / "inside").write_text("x")
        case _:
            _socket(path)


def _socket(path: Path) -> None:
    """A name of a socket is at most 108 bytes long."""
    here = os.getcwd()
    with socket.socket(socket.AF_UNIX) as bound:
        try:
            os.chdir(path.parent)
            bound.bind("s")
            os.rename("s", path.name)
        finally:
            os.chdir(here)


def strangers(site: Site) -> None:
    """Files that nobody here made."""
    old = site.pick.choice([0, time.time() - 10**6, time.time()])
    for k in range(site.pick.choice([1, 3, 40])):
        name = site.pick.choice(["x", ".x.tmp", "ä\udce4", "-rf", "a" * 200, "sp ace\n", ".tmp"])
        path = site.objects / f"{k}{name}"
        if site.pick.random() < 0.3:
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(site.pick.randbytes(100))
        os.utime(path, (old, old))


def strange_folder(site: Site) -> None:
    """A folder named like what a killed writer leaves, with something in it."""
    path = site.objects / f".{site.pick.randrange(99)}.tmp"
    path.mkdir()
    (path / "inside").write_text("x")
    os.utime(path, (0, 0))


def times(site: Site) -> None:
    for path in [*site.entries(), site.objects, site.objects / "key"]:
        stamp = site.pick.choice([0, 1, 2**31, 2**32 + 1, time.time() + 10**9, time.time() - 10**9])
        os.utime(path, (stamp, stamp))


def equal_size_and_time(site: Site) -> None:
    """Another content, same size, same times."""
    path = site.any_entry()
    status, content = path.stat(), bytearray(path.read_bytes())
    content[-1 - site.pick.randrange(min(400, len(content)))] ^= 1 + site.pick.randrange(255)
    _rewrite(path, bytes(content))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def spoiled_source(site: Site) -> None:
    """The generated source is somebody else's, no text, or no file."""
    path = site.pick.choice(sorted((site.folder / "source").iterdir()))
    path.unlink()
    match site.pick.randrange(6):
        case 0:
            path.write_text(f"__import__('os').mkdir({str(site.marker)!r})\n")
        case 1:
            path.write_bytes(site.pick.randbytes(3000))
        case 2:
            os.mkfifo(path, 0o600)
        case 3:
            path.mkdir()
        case 4:
            path.symlink_to("/dev/zero")
        case _:
            path.symlink_to(path.name)


def no_source(site: Site) -> None:
    shutil.rmtree(site.folder / "source")
    match site.pick.randrange(3):
        case 0:
            (site.folder / "source").write_text("x")
        case 1:
            (site.folder / "source").symlink_to("/proc/nowhere")
        case _:
            pass


FAULTS = [
    Fault("cut", cut), Fault("cut", cut), Fault("flipped bits", flip), Fault("flipped bits", flip),
    Fault("a block of zeros", blank), Fault("bytes behind the end", longer),
    Fault("two entries change places", swap), Fault("a foreign entry", foreign),
    Fault("another version", other_version), Fault("a wrong length", wrong_length),
    Fault("a hostile payload", hostile), Fault("a hostile payload", hostile),
    Fault("random bytes", random_bytes), Fault("a file is gone", gone),
    Fault("most files are gone", most_gone), Fault("a file others can use", open_to_others),
    Fault("a folder others can enter", folder_open_to_others), Fault("a link", linked),
    Fault("a pipe, folder or socket", special), Fault("strangers' files", strangers),
    Fault("a strange folder", strange_folder, cold=False), Fault("wrong times", times),
    Fault("equal size and time", equal_size_and_time), Fault("spoiled source", spoiled_source),
    Fault("no source folder", no_source, repairs=False),
]  # fmt: skip
