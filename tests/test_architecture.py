"""The shape of the house: imports point downwards, the light packages stay light, files stay short."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import dit_bench

PACKAGE = Path(dit_bench.__file__).resolve().parent
TESTS = Path(__file__).resolve().parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# What each package may import of the others; what is `FOR_ALL` and the version in `dit_bench` itself are for everybody.
FOR_ALL = {"errors", "plugins"}
ALLOWED = {
    "errors": set(),
    "plugins": set(),
    "recipes": set(),
    "runs": {"recipes"},
    "report": {"recipes", "runs"},
    "cost": {"recipes"},
    "models": {"cost"},
    "data": {"recipes"},
    "tasks": {"models", "data", "cost", "recipes"},
    "engine": {"tasks", "models", "data", "cost", "runs", "recipes"},
    "cli": {"report", "engine", "runs", "tasks", "models", "data", "cost", "recipes"},
}
LIGHT = {"plugins.py", "recipes", "runs", "report", "cli"}
HEAVY = {"torch", "torchvision", "timm", "sklearn"}
# For --help to be fast, the command line imports everything else inside functions.
CLI_AT_MODULE_LEVEL = {"dit_bench", "dit_bench.cli", "dit_bench.errors"}
MOST_LINES = 400


def _imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Absolute names of all imported modules, and whether the import runs when the file is imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = ".".join(("dit_bench", *path.relative_to(PACKAGE).parent.parts))

    def walk(node: ast.AST, at_import: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, at_import) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    parents = package.split(".")
                    base = ".".join([*parents[: len(parents) - child.level + 1], *filter(None, [child.module])])
                yield base, at_import
                # `from dit_bench import engine` names a package, too.
                yield from ((f"{base}.{alias.name}", at_import) for alias in child.names if base == "dit_bench")
            elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                yield from walk(child, False)
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                for statement in child.body:
                    yield from walk(ast.Module([statement], []), False)
                for statement in child.orelse:
                    yield from walk(ast.Module([statement], []), at_import)
            else:
                yield from walk(child, at_import)

    return walk(tree, True)


def _part(module: str) -> str | None:
    """Our package that a module name belongs to, None for foreign ones and for `dit_bench` itself."""
    parts = module.split(".")
    return parts[1] if parts[0] == "dit_bench" and len(parts) > 1 and parts[1] != "__version__" else None


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE.parent).as_posix()


def test_every_package_has_a_place() -> None:
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES}
    assert parts - {"__init__", "__main__"} <= set(ALLOWED)


def test_the_allowed_imports_have_no_circle() -> None:
    order: list[str] = []
    while len(order) < len(ALLOWED):
        free = [part for part, below in ALLOWED.items() if part not in order and below <= set(order)]
        assert free, f"circle among {set(ALLOWED) - set(order)}"
        order += free


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_point_downwards(path: Path) -> None:
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if part == "__init__":
        assert [name for name, _ in _imports(path)] == []
        return
    allowed = {part} | FOR_ALL | (set(ALLOWED) if part == "__main__" else ALLOWED[part])
    wrong = {name for name, _ in _imports(path) if (other := _part(name)) is not None and other not in allowed}
    assert not wrong, f"{_name(path)} imports {sorted(wrong)}"


@pytest.mark.parametrize("path", [path for path in MODULES if path.relative_to(PACKAGE).parts[0] in LIGHT], ids=_name)
def test_light_packages_never_import_torch(path: Path) -> None:
    heavy = {name for name, _ in _imports(path) if name.split(".")[0] in HEAVY}
    assert not heavy, f"{_name(path)} imports {sorted(heavy)}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "cli").glob("*.py")), ids=_name)
def test_the_command_line_imports_the_rest_inside_functions(path: Path) -> None:
    early = {name for name, at_import in _imports(path) if at_import and name.startswith("dit_bench")}
    wrong = {name for name in early if not (name in CLI_AT_MODULE_LEVEL or name.startswith("dit_bench.cli."))}
    assert not wrong - {"dit_bench.__version__"}, f"{_name(path)} imports {sorted(wrong)} at once"


def test_importing_recipes_runs_and_report_loads_no_torch() -> None:
    """The same at run time, through everything that they import in turn."""
    light = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in MODULES
        if path.relative_to(PACKAGE).parts[0] in ("recipes", "runs", "report")
    ]
    code = f"import sys, importlib\nfor name in {light!r}: importlib.import_module(name)\n"
    code += f"print(sorted(set({sorted(HEAVY)!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", [*MODULES, *sorted(TESTS.rglob("*.py"))], ids=lambda path: path.name)
def test_files_are_about_one_thing(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{path.name} has {lines} lines: which second thing is it about?"


def test_the_import_reader_sees_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks above would pass on anything if this reader were blind."""
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path / "dit_bench")
    path = tmp_path / "dit_bench" / "models" / "dit" / "x.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import torch.nn as nn, os\nfrom dit_bench import engine\nfrom ..pvt import a\nfrom . import b\n"
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import timm\nelse:\n    import numpy\n"
        "def f():\n    from dit_bench.runs.store import RunStore\n"
        "class C:\n    import json\n",
        encoding="utf-8",
    )
    found = set(_imports(path))
    assert found >= {
        ("torch.nn", True),
        ("os", True),
        ("dit_bench.engine", True),
        ("dit_bench.models.pvt", True),
        ("dit_bench.models.dit", True),
        ("timm", False),
        ("numpy", True),
        ("dit_bench.runs.store", False),
        ("json", True),
    }
