"""The files that outlive a process: compiled code by content.

    store = open_store()                 None where files cannot be kept safely
    payload = store.get(key)             the bytes of an entry, or None
    store.put(key, payload)

An entry is one file, `objects/<key>`: magic, format version, payload length, a MAC over all of
that, the key and the payload, then the payload. The MAC's key is 32 random bytes in a file only the
user can read, so what another user or an accident puts here is never loaded. (Code that runs as the
same user can read that file: against it there is no defence.)

A file is written under another name and renamed: a process killed anywhere leaves the old entry,
the new one, or a temporary file that pruning removes. Nothing locks, so nothing hangs.
Whatever is wrong (a defect, a full disk, a foreign folder), nothing raises: the entry is missing,
and one warning per process says why. Beyond `limit` bytes the entries unused for longest go.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import time
import warnings
from _operator import _compare_digest  # `hmac` has it, too, and imports OpenSSL
from collections.abc import Callable, Iterator
from functools import cache
from typing import Final

from .files import (
    TEMPORARY,
    DefectError,
    private_folder,
    read_private,
    remove,
    replace,
    write_temporary,
)
from .identity import digest, fields, identity_of, sha256, sources
from .places import cache_directory

MAGIC: Final = b"tapeless"
FORMAT: Final = 1
_HEADER: Final = struct.Struct("<8sIQ32s")
_KEY_BYTES: Final = 32
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))
LIMIT: Final = 512 * 2**20
"""Bytes the entries may take together."""
_STALE_SECONDS: Final = 3600


class Store:
    """A folder of entries. `secret` is the key of the MAC, `identity` what every key depends on
    (`runtime/identity.py`), `sources` the digest of all sources of this package. With `reads=False`
    it finds nothing, and only writes. `shared` is code that programs share, by name, as far as this
    process came by it (`loading.shared`)."""

    def __init__(
        self,
        folder: str,
        secret: bytes,
        identity: str,
        sources: str = "",
        *,
        limit: int = LIMIT,
        reads: bool = True,
    ) -> None:
        self.folder, self.secret, self.identity, self.sources = folder, secret, identity, sources
        self.limit, self.reads = limit, reads
        self.shared: dict[str, bytes] = {}
        self._held: int | None = None

    def without_reading(self) -> Store:
        """This store, to write into only."""
        return Store(
            self.folder, self.secret, self.identity, self.sources, limit=self.limit, reads=False
        )

    def key(self, *parts: str) -> str:
        """The key of what is made of these parts here: by this package on this machine."""
        return digest(self.identity, *parts)

    def get(self, key: str) -> bytes | None:
        """The payload stored under a key; None if there is none or it is defective."""
        path = os.path.join(self.folder, key)
        if not self.reads:
            return None
        try:
            content = read_private(path, self.limit)
            payload = self._verified(key, content)
        except FileNotFoundError:
            return None
        except OSError as error:
            warn_once(f"{path}: {error}; it is compiled again and replaced")
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # used now: pruning goes by this time
        return payload

    def has(self, key: str) -> bool:
        """Whether something is stored under a key; it may turn out to be defective."""
        return self.reads and os.path.exists(os.path.join(self.folder, key))

    def put(self, key: str, payload: bytes) -> None:
        """Store a payload, in the place of what was there; one that is very large is not kept."""
        if len(payload) > self.limit // 4:
            return
        header = _HEADER.pack(MAGIC, FORMAT, len(payload), self._mac(key, payload))
        try:
            replace(os.path.join(self.folder, key), header + payload)
            self._prune(len(header) + len(payload))
        except OSError as error:
            warn_once(f"{self.folder}: {error}; compiled code is not kept for later runs")

    def _mac(self, key: str, payload: bytes) -> bytes:
        signed = struct.pack("<8sIQ", MAGIC, FORMAT, len(payload)) + key.encode() + b"\0"
        return _hmac(self.secret, signed, payload)

    def _verified(self, key: str, content: bytes) -> bytes:
        if len(content) < _HEADER.size:
            raise DefectError("truncated")
        magic, version, length, mac = _HEADER.unpack_from(content)
        payload = content[_HEADER.size :]
        if (magic, version, length) != (MAGIC, FORMAT, len(payload)):
            raise DefectError("not an entry of this version, or truncated")
        if not _compare_digest(mac, self._mac(key, payload)):
            raise DefectError("damaged, or not written by this user")
        return payload

    def _prune(self, added: int) -> None:
        """Keep the entries within the limit. The folder is listed at the first entry a process
        adds, and when the limit is passed."""
        if self._held is not None and self._held + added <= self.limit:
            self._held += added
            return
        now, self._held = time.time(), 0
        for path, status in sorted(self._files(), key=lambda file: -file[1].st_mtime):
            if path.endswith(TEMPORARY):
                useless = now - status.st_mtime > _STALE_SECONDS
            else:
                useless = self._held + status.st_size > self.limit
            if useless:
                with contextlib.suppress(OSError):  # what cannot be removed stays
                    remove(path)
            else:
                self._held += status.st_size

    def _files(self) -> Iterator[tuple[str, os.stat_result]]:
        for path in entries(self.folder):
            with contextlib.suppress(FileNotFoundError):
                yield path, os.lstat(path)


def _hmac(secret: bytes, *parts: bytes) -> bytes:
    """HMAC-SHA-256 (RFC 2104) for a key of at most 64 bytes."""
    padded = secret.ljust(64, b"\0")
    inner = sha256(padded.translate(_INNER))
    for part in parts:
        inner.update(part)
    return sha256(padded.translate(_OUTER) + inner.digest()).digest()


def recall(store: Store | None, *parts: str) -> bytes | None:
    """The entry of the key that `parts` make, or None."""
    return None if store is None else store.get(store.key(*parts))


def kept(store: Store | None, parts: tuple[str, ...], make: Callable[[], bytes]) -> bytes:
    """The entry of the key that `parts` make; what is not there is made and left there."""
    if store is None:
        return make()
    key = store.key(*parts)
    payload = store.get(key)
    if payload is None:
        payload = make()
        store.put(key, payload)
    return payload


def entries(folder: str) -> Iterator[str]:
    """The entries in a folder and what killed writers left."""
    with contextlib.suppress(OSError):
        yield from (os.path.join(folder, name) for name in os.listdir(folder) if name != "key")


def objects_directory() -> str:
    """Where the entries lie. It may not exist."""
    return os.path.join(cache_directory(), "objects")


def open_store(*, make: bool = True) -> Store | None:
    """The user's store, made if there is none, unless `make` is False; None, with a warning, where
    files cannot be kept safely: no writable place, or a folder that is somebody else's."""
    try:
        folder = objects_directory()
        if not make and not os.path.exists(folder):
            return None
        if private_folder(folder):
            warn_once(f"{folder}: others could enter it; its mode is set to 0700")
        return _store(folder, _secret(os.path.join(folder, "key")))
    except OSError as error:
        warn_once(f"{error}; compiled code is not kept. TAPELESS_CACHE can name another folder")
        return None


@cache
def _store(folder: str, secret: bytes) -> Store:
    package = sources(Store(folder, secret, "", ""))
    return Store(folder, secret, identity_of(fields(package)), package.every)


def _secret(path: str) -> bytes:
    """The MAC's key. One that is defective, or that others could read, is replaced, which makes
    every entry before it invalid."""
    try:
        return _read_secret(path)
    except FileNotFoundError:
        return _first_secret(path)
    except (DefectError, PermissionError) as error:
        warn_once(f"{path}: {error}; a new key is made and everything compiled again")
    replace(path, os.urandom(_KEY_BYTES))
    return _read_secret(path)


def _read_secret(path: str) -> bytes:
    secret = read_private(path, _KEY_BYTES)
    if len(secret) != _KEY_BYTES:
        raise DefectError("not a key")
    return secret


def _first_secret(path: str) -> bytes:
    """Write a random key. Where several processes do, the first one's is everybody's: a link,
    unlike a rename, does not replace."""
    temporary = write_temporary(path, os.urandom(_KEY_BYTES))
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    except (OSError, AttributeError, NotImplementedError):  # a file system without links
        os.replace(temporary, path)
    finally:
        remove(temporary)
    return _read_secret(path)


@cache
def _warned() -> list[str]:
    """The warnings of this process; there is at most one."""
    return []


def warn_once(message: str) -> None:
    """Warn about the cache, once per process; a filter that makes warnings errors is not obeyed,
    since a step must run whatever state the cache is in."""
    if _warned():
        return
    _warned().append(message)
    try:
        warnings.warn(f"tapeless cache: {message}", RuntimeWarning, stacklevel=2)
    except RuntimeWarning:
        print(f"tapeless cache: {message}", file=sys.stderr)
