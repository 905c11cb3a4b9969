"""The native code of a step as one piece, with the code that it shares with others: what a later
process loads instead of finding and linking each part.

    fields = bundled(driver_text, kernels, store)
    linked = load_bundle(fields, store, options)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ..ir.record import dataclass
from . import blas, elf, matrix, needs
from .image import UnsuitedError, is_suited, unpack
from .loading import Linked, assemble, loaded
from .making import MAKING
from .modes import RunOptions
from .pool import thread_address
from .relink import relinked
from .store import Store

if TYPE_CHECKING:
    from .kernels import Kernel

DRIVER: Final = "step"
"""The function of generated source that calls the others."""


def bundled(driver: str, kernels: Iterable[Kernel], store: Store) -> list[Any] | None:
    """The code of a driver and all of its kernels, as `marshal` takes it; None where LLVM alone can
    link them. Whatever they need has been loaded."""
    used = list({kernel.symbol: kernel for kernel in kernels}.values())
    if not is_suited():
        return None
    images = [*(kernel.image for kernel in used), assemble(driver, store, "straight")]
    try:
        step = elf.prelink(images, [DRIVER])
    except UnsuitedError:
        return None
    needed = needs.needs_of(driver, used)
    names = needed.shared_names(store)
    shared = {name: store.shared[name] for name in names if name in store.shared}
    packed = [dict(needed.products), needed.libraries, needed.functions, needed.pool]
    return [step.pack(), packed, shared, _links(names, shared, store)]


def _links(names: list[str], shared: Mapping[str, bytes], store: Store) -> list[Any] | None:
    """What `relinked` takes, None where that is not enough. Whoever makes the imports finds the
    call path by himself."""
    if len(shared) < len(names):
        return None
    symbols = [symbol for packed in shared.values() for symbol in unpack(packed).symbols]
    found = blas.find(store) if any(map(matrix.is_of_blas, symbols)) else None
    library = None if found is None else found.library
    complete = found is None or library is not None
    return [names[1:], library] if complete else None


@dataclass(frozen=True)
class Code:
    """A step in memory, as long as this object lives."""

    address: int
    linked: Linked


def load_bundle(fields: list[Any], store: Store, options: RunOptions) -> Code:
    """The step in memory, and in `store.shared` what programs share. UnsuitedError if this system
    refuses it."""
    step, packed, shared, links = fields
    with MAKING:
        store.shared |= shared
        imports = relinked(links[0], links[1], store) if links else None
        if imports is None:
            imports = needs.addresses(needs.Needs(*packed), store, options)
        elif packed[-1]:
            imports["tapeless_threads"] = thread_address(options.threads)
        linked = loaded(unpack(step).image(lambda symbols: imports))
        return Code(linked.addresses[DRIVER], linked)
