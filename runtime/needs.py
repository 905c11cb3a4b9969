"""What the native code of a step takes from elsewhere, and where that lies in this process.

    needs = needs_of(driver_text, kernels)
    imports = addresses(needs, store, options)

It can be told a later process (`runtime/bundle.py`), which then needs neither text nor kernels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ..ir.record import dataclass
from . import functions, libraries, matrix
from .callpath import SHARED as CALL_PATH
from .modes import RunOptions
from .pool import SHARED as POOL
from .pool import export_pool, thread_address
from .spec import called_products, joined_products
from .store import Store

if TYPE_CHECKING:
    from .kernels import Kernel
    from .lowering import Lowered
    from .spec import Products


@dataclass(frozen=True)
class Needs:
    """Matrix routines by dtype, with the products they are for (None: any), libraries of other
    routines, elementary functions such as "exp_f32", and whether the pool of threads is needed."""

    products: Mapping[str, Products | None]
    libraries: tuple[str, ...]
    functions: tuple[str, ...]
    pool: bool

    @property
    def calls(self) -> bool:
        """Whether routines or functions are needed."""
        return bool(self.products or self.libraries or self.functions)

    def shared_names(self, store: Store) -> list[str]:
        """The names of the shared code it is, each after what it calls. Not all of it may be in
        `store.shared`."""
        names = [CALL_PATH, *map(functions.shared_name, self.functions)]
        names += map(libraries.shared_name, self.libraries)
        names += [POOL] if self.pool else []
        for dtype, products in self.products.items():
            names += matrix.shared_names(dtype, store, products)
        return list(dict.fromkeys(names))


def needs_of(driver: str, kernels: Iterable[Kernel | Lowered]) -> Needs:
    """What a driver's LLVM text and kernels take from elsewhere, besides each other."""
    used = list(kernels)
    products = joined_products([called_products(driver), *(kernel.products for kernel in used)])
    others = dict.fromkeys(name for kernel in used for name in kernel.libraries)
    words = dict.fromkeys(word for kernel in used for word in kernel.functions)
    return Needs(products, tuple(others), tuple(words), "@tapeless_threads" in driver)


def addresses(needs: Needs, store: Store | None, options: RunOptions) -> dict[str, int]:
    """The addresses, by symbol; what is not there yet is made."""
    imports: dict[str, int] = {}
    for dtype, products in needs.products.items():
        imports |= matrix.export_routines(dtype, store, products)
    for name in needs.libraries:
        imports |= libraries.export_library(name, store)
    if needs.functions:
        imports |= functions.export_functions(needs.functions, store)
    if needs.pool:
        imports |= export_pool(store)
        imports["tapeless_threads"] = thread_address(options.threads)
    return imports
