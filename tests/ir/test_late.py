"""Late modules and names: nothing is loaded before it is used, and then as if it always was."""

import gc
import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from soak.children import Done, in_child
from tapeless.ir import late

PACKAGE = {
    "__init__.py": """
import threading
from tapeless.ir import late
loaded, begun = [], threading.Event()
late.modules(__name__, "slow", "broken", "round", "long")
late.packages(__name__, "inner")
__getattr__, __dir__ = late.names(__name__, {".slow": ("answer",), ".inner": ("leaf",)})
""",
    "slow.py": "from . import loaded\nloaded.append('slow')\nanswer = 42\n",
    "inner/__init__.py": "from .. import loaded\nloaded.append('inner')\nfrom .leaf import value\n",
    "inner/leaf.py": "from .. import loaded\nloaded.append('leaf')\nvalue = 7\n",
    "broken.py": "from . import loaded\nloaded.append('broken')\nif len(loaded) < 2:\n    1 / 0\n",
    "round.py": "import sys\nsys.modules[__name__].nothing\n",
    "long.py": "from .deep import value\n",
    "deep.py": "import time\nfrom . import begun\nbegun.set()\ntime.sleep(0.2)\nvalue = 3\n",
    "user.py": "from . import slow\ndef use():\n    return slow.answer\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    for name, text in PACKAGE.items():
        file = tmp_path / "parcel" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("parcel")
    for name in [n for n in sys.modules if n.partition(".")[0] == "parcel"]:
        del sys.modules[name]


def test_a_late_module_loads_at_the_first_attribute(package: ModuleType) -> None:
    user = importlib.import_module("parcel.user")
    assert package.loaded == []
    assert user.use() == 42
    assert user.use() == 42
    assert package.loaded == ["slow"]
    assert type(package.slow) is type(sys)
    assert package.slow is sys.modules["parcel.slow"]


def test_importing_a_name_loads_at_once(package: ModuleType) -> None:
    scope: dict[str, int] = {}
    exec("from parcel.slow import answer", scope)
    assert (scope["answer"], package.loaded) == (42, ["slow"])


def test_a_late_package_can_be_passed_by(package: ModuleType) -> None:
    leaf = importlib.import_module("parcel.inner.leaf")
    assert (leaf.value, package.loaded) == (7, ["leaf"])
    assert (package.inner.value, package.loaded) == (7, ["leaf", "inner"])


def test_names_are_found_listed_and_kept(package: ModuleType) -> None:
    assert {"answer", "leaf"} <= set(dir(package))
    assert package.loaded == []
    assert package.answer == 42
    assert vars(package)["answer"] == 42
    assert package.leaf is sys.modules["parcel.inner.leaf"]
    with pytest.raises(AttributeError, match="module 'parcel' has no attribute 'other'"):
        _ = package.other


def test_a_module_that_fails_is_tried_again(package: ModuleType) -> None:
    with pytest.raises(ZeroDivisionError):
        _ = package.broken.nothing
    with pytest.raises(AttributeError, match=r"parcel\.broken.*nothing"):
        _ = package.broken.nothing
    assert package.loaded == ["broken", "broken"]


def test_a_module_that_asks_itself_is_told(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match=r"parcel\.round is being loaded"):
        _ = package.round.nothing


def test_threads_see_a_module_only_when_it_is_complete(package: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "parcel" / "slow.py").write_text(
        "import time\nfrom . import loaded\nloaded.append('slow')\ntime.sleep(0.2)\nanswer = 42\n"
    )
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(package.slow.answer)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (found, package.loaded) == ([42] * 4, ["slow"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # it has threads
def test_a_fork_waits_for_threads_that_load(package: ModuleType) -> None:
    thread = threading.Thread(target=lambda: package.long.value)
    thread.start()
    assert package.begun.wait(10)
    assert in_child(lambda: package.long.value, 10) == Done(3, 0)
    thread.join()


def test_a_module_that_does_not_exist(package: ModuleType) -> None:
    late.modules("parcel", "nowhere")
    with pytest.raises(ModuleNotFoundError, match=r"no module parcel\.nowhere"):
        _ = package.nowhere.name


def test_looking_through_all_modules_loads_none(package: ModuleType) -> None:
    assert not hasattr(package.slow, "__file__")
    assert not hasattr(package.slow, "__warningregistry__")
    assert package.loaded == []
    assert (package.slow.answer, Path(package.slow.__file__).name) == (42, "slow.py")
    assert package.slow.__spec__.name == "parcel.slow"


def test_a_function_named_like_its_module() -> None:
    from tapeless import ir

    module = importlib.import_module("tapeless.ir.parse")
    assert ir.parse is module.parse
    assert ir.verify is importlib.import_module("tapeless.ir.verify").verify


def test_the_front_loads_nothing_that_is_not_used(python: Callable[..., str]) -> None:
    code = "import sys, tapeless; print('tapeless.compiler' in sys.modules, 'nn' in dir(tapeless))"
    assert python("-c", code).split() == ["False", "True"]


def test_a_block_without_searches_for_garbage() -> None:
    assert gc.isenabled()
    with late.undisturbed():
        assert not gc.isenabled()
        with pytest.raises(KeyError), late.undisturbed():
            raise KeyError
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_was_made_undisturbed_counts_as_old() -> None:
    with late.undisturbed():
        made: list[list[int]] = [[] for _ in range(10)]
    young = [id(x) for generation in (0, 1) for x in gc.get_objects(generation=generation)]
    assert not {id(x) for x in made} & set(young)
    assert gc.get_freeze_count() == 0


def test_what_the_user_froze_stays_frozen() -> None:
    gc.freeze()
    try:
        count = gc.get_freeze_count()
        with late.undisturbed():
            pass
        assert gc.get_freeze_count() >= count - 100 > 0  # some may have been freed
    finally:
        gc.unfreeze()
