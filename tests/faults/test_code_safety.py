"""Nothing that a file could bring to life: no call in the package unpickles, evaluates or builds objects from YAML."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import dit_bench

PACKAGE = Path(dit_bench.__file__).resolve().parent
MODULES = sorted(PACKAGE.rglob("*.py"))
NEVER = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "cPickle.load", "dill.load", "joblib.load", "marshal.loads"),
    *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "shelve.open", "torch.hub.load", "torch.jit.load"),
    *("pandas.read_pickle", "pd.read_pickle", "numpy.lib.format.read_array"),
}
MODULES_NEVER = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "yaml"}
REQUIRED = {
    "torch.load": ("weights_only", True),
    "numpy.load": ("allow_pickle", False),
    "np.load": ("allow_pickle", False),
}
METHODS = {"read_pickle", "to_pickle", "unsafe_load"}


def _name(node: ast.expr) -> str:
    """`a.b.c` of a chain of attributes."""
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def dangers(source: str) -> list[str]:
    """What in a module could execute something that a file says."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in MODULES_NEVER]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            # A bare name would hide where it comes from.
            found += [name for name in names if name in NEVER | set(REQUIRED) or name.split(".")[0] in MODULES_NEVER]
        elif isinstance(node, ast.Call):
            name = _name(node.func)
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            if name in NEVER or name.rpartition(".")[2] in METHODS:
                found.append(f"{name} in line {node.lineno}")
            if name in REQUIRED:
                option, wanted = REQUIRED[name]
                value = given.get(option)
                if not (isinstance(value, ast.Constant) and value.value is wanted):
                    found.append(f"{name} without {option}={wanted} in line {node.lineno}")
            shell = given.get("shell")
            if shell is not None and not (isinstance(shell, ast.Constant) and shell.value is False):
                found.append(f"{name} through a shell in line {node.lineno}")
            # ruamel.yaml builds any object with typ="unsafe", and with its old default.
            if name.endswith("YAML"):
                typ = given.get("typ") or (node.args[0] if node.args else None)
                if not (isinstance(typ, ast.Constant) and typ.value in ("safe", "rt")):
                    found.append(f"{name} without typ='safe' in line {node.lineno}")
            strict = given.get("strict")
            if name.endswith("load_state_dict") and strict is not None:
                found.append(f"{name} with strict=… in line {node.lineno}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_module_executes_what_a_file_says(path: Path) -> None:
    assert dangers(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load(path)",
        "import torch\ntorch.load(path, weights_only=False)",
        "from torch import load\nload(path)",
        "import pickle",
        "from pickle import loads",
        "import numpy as np\nnp.load(path)",
        "np.load(path, allow_pickle=True)",
        "from numpy import load",
        "import yaml\nyaml.safe_load(text)",
        "from ruamel.yaml import YAML\nYAML().load(text)",
        "YAML(typ='unsafe')",
        "eval('1')",
        "exec(code)",
        "subprocess.run(command, shell=True)",
        "model.load_state_dict(weights, strict=False)",
        "pd.read_pickle(path)",
    ],
)
def test_the_search_finds_them(source: str) -> None:
    assert dangers(source)
