"""The native code of a step as one piece, with the code that it shares with others: what a later
process loads instead of finding and linking each part.

    fields = bundled(driver_text, kernels, store)
    linked = load_bundle(fields, store, options)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from ..ir.record import dataclass
from . import elf
from .image import UnsuitedError, is_suited, unpack
from .loading import Linked, assemble, loaded
from .making import MAKING
from .modes import RunOptions
from .needs import Needs, addresses, needs_of
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
    needs = needs_of(driver, used)
    shared = {name: store.shared[name] for name in needs.shared_names(store)}
    packed = [dict(needs.products), needs.libraries, needs.functions, needs.pool]
    return [step.pack(), packed, shared]


@dataclass(frozen=True)
class Code:
    """A step in memory, as long as this object lives."""

    address: int
    linked: Linked


def load_bundle(fields: list[Any], store: Store, options: RunOptions) -> Code:
    """The step in memory, and in `store.shared` what programs share. UnsuitedError if this system
    refuses it."""
    step, needs, shared = fields
    with MAKING:
        store.shared |= shared
        imports = addresses(Needs(*needs), store, options)
        linked = loaded(unpack(step).image(lambda symbols: imports))
        return Code(linked.addresses[DRIVER], linked)
