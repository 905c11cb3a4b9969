"""The house: what ships, which floor may import which, and what must not be mentioned."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOT_PACKAGED = {"tests", "examples", "benchmarks", "build", "dist"}
FLOORS = {"ir": 0, "passes": 1, "runtime": 1, "compiler": 2, "library": 3, "": 4}
NATIVE = {"numba", "llvmlite"}
STANDARD = {*sys.stdlib_module_names, "_sha2", "_sha256"}  # the hash of Python 3.12, and of 3.11
# Places and hosts outside the checkout, and numbers that mean nothing to a reader of it.
OUTSIDE = re.compile(
    r"(?<![\w.])/wor[k]\b|\.\./share[d]|\bissues? #?\d|py[p]i\.|pythonhoste[d]", re.IGNORECASE
)


def package_files() -> list[Path]:
    """Every module that ships."""
    folders = [
        p for p in ROOT.iterdir() if p.is_dir() and p.name not in NOT_PACKAGED and p.name[0] != "."
    ]
    inner = [file for folder in folders for file in folder.rglob("*.py")]
    return sorted([*ROOT.glob("*.py"), *inner])


def shown(file: Path) -> str:
    return str(file.relative_to(ROOT))


def module_name(file: Path) -> str:
    return ".".join(["tapeless", *file.relative_to(ROOT).with_suffix("").parts])


def imports(tree: ast.AST, file: Path) -> Iterator[tuple[ast.stmt, str]]:
    """Every import statement with the absolute name of the module it names."""
    package = ["tapeless", *file.relative_to(ROOT).parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            # `from . import tree` names a module, or at least something inside the package.
            names = [alias.name for alias in node.names] if module == "tapeless" else [""]
            yield from ((node, f"{module}.{name}".rstrip(".")) for name in names)


def floor(module: str) -> str:
    """The folder of a module of ours: `tapeless.ir.graph` lives in `ir`, `tapeless` in ''."""
    part = module.split(".")[1:2]
    return part[0] if part and part[0] in FLOORS else ""


def test_packages_list_equals_the_folders() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = project["tool"]["setuptools"]["packages"]
    folders = {file.parent.relative_to(ROOT) for file in package_files()}
    assert sorted(listed) == sorted(".".join(["tapeless", *folder.parts]) for folder in folders)
    assert all((ROOT / folder / "__init__.py").exists() for folder in folders)


def package_imports() -> Iterator[tuple[str, Path, str]]:
    """Where (`file:line`), in which file, and of which module, for every import that ships."""
    for file in package_files():
        for node, module in imports(ast.parse(file.read_text()), file):
            yield f"{shown(file)}:{node.lineno}", file, module


def test_data_files_ship() -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"][
        "package-data"
    ]
    listed = {
        file
        for package, patterns in data.items()
        for pattern in patterns
        for file in ROOT.joinpath(*package.split(".")[1:]).glob(pattern)
    }
    folders = {file.parent for file in package_files()} - {ROOT}
    others = {
        f for folder in folders for f in folder.iterdir() if f.is_file() and f.suffix != ".py"
    }
    assert listed == others | {ROOT / "py.typed"}


def test_imports_go_down() -> None:
    up = []
    for where, file, module in package_imports():
        here, there = floor(module_name(file)), floor(module)
        ours = module.partition(".")[0] == "tapeless"
        if ours and here != there and FLOORS[there] >= FLOORS[here]:
            up.append(f"{where}: {here or 'the front'} imports {module}")
    assert up == []


def test_only_numpy_and_in_runtime_numba_and_llvmlite() -> None:
    foreign = []
    for where, file, module in package_imports():
        top = module.partition(".")[0]
        native = top in NATIVE and floor(module_name(file)) == "runtime"
        if not native and top not in {"tapeless", "numpy", *STANDARD}:
            foreign.append(f"{where}: {module}")
    assert foreign == []


def test_imports_stand_at_the_top() -> None:
    """Only runtime/ imports inside functions, to put numba and llvmlite off."""
    late = []
    for file in package_files():
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        for function in filter(
            lambda n: isinstance(n, functions), ast.walk(ast.parse(file.read_text()))
        ):
            if floor(module_name(file)) != "runtime":
                late += [f"{shown(file)}:{node.lineno}" for node, _ in imports(function, file)]
    assert late == []


def text_files() -> list[Path]:
    """Every text file of the project, without what git ignores."""
    skipped = {".git", ".pkg", ".venv", "build", "dist", "__pycache__", ".hypothesis"}
    return sorted(
        file
        for file in ROOT.rglob("*")
        if file.is_file()
        and file.suffix in {".py", ".md", ".toml", ".txt", ".ir", ""}
        and not any(
            part in skipped or part.endswith(("_cache", ".egg-info"))
            for part in file.relative_to(ROOT).parts
        )
    )


def test_nothing_outside_is_mentioned() -> None:
    texts = {shown(file): file.read_text() for file in text_files()}
    found = {name: OUTSIDE.findall(text) for name, text in texts.items()}
    assert {name: words for name, words in found.items() if words} == {}


def test_no_module_is_loaded_twice() -> None:
    """Only the root's `__init__.py`, which pytest also loads under the checkout's own name."""
    import tapeless

    home = Path(tapeless.__file__).parent
    shipped = {home / file.relative_to(ROOT) for file in package_files()} - {home / "__init__.py"}
    files: dict[Path, list[str]] = {}
    for name, module in list(sys.modules.items()):
        file = Path(getattr(module, "__file__", None) or "")
        if file in shipped:
            files.setdefault(file.resolve(), []).append(name)
    assert files
    assert [names for names in files.values() if len(names) > 1] == []
