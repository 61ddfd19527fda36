"""What other packages plug in: found without an import, imported once it is used, blamed for what goes wrong in it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dit_bench.errors import DataError, UsageError
from dit_bench.plugins import KINDS, Plugin, PluginError, blamed, find_plugin, plugin_names, plugins

MakePackage = Callable[..., str]


def only(kind: str, name: str) -> Plugin:
    """The one plug-in of a name."""
    assert kind in KINDS
    found = find_plugin(kind, name)  # type: ignore[arg-type] - checked
    assert found is not None
    return found


def test_the_example_package_offers_one_of_each_kind_and_is_not_imported_for_that(example_package: Path) -> None:
    found = {kind: plugins(kind) for kind in KINDS}
    assert {kind: [plugin.name for plugin in offered] for kind, offered in found.items()} == {
        "models": ["tiny_cnn"],
        "gates": ["two_layers"],
        "datasets": ["stripes"],
        "metrics": ["calibration"],
    }
    model = only("models", "tiny_cnn")
    assert (model.group, model.origin) == ("dit_bench.models", "dit-bench-example 0.1.0")
    assert not any(module.startswith("example_plugin") for module in sys.modules)
    assert callable(model.load())
    assert "example_plugin.models" in sys.modules


def test_without_packages_there_is_nothing() -> None:
    assert find_plugin("models", "tiny_cnn") is None
    assert "tiny_cnn" not in plugin_names("models")


def test_a_name_that_is_ours_too_is_refused_with_both_origins(make_package: MakePackage) -> None:
    make_package("rival", "def make(): ...", gates={"linear": "make"})
    with pytest.raises(UsageError, match=r"gate 'linear' has several origins: dit-bench and rival 1\.2\.3") as refusal:
        find_plugin("gates", "linear", also_of="dit-bench")
    assert refusal.value.remedy == "uninstall rival, or rename its entry point in dit_bench.gates"


def test_a_name_of_two_packages_is_refused_with_both_origins(make_package: MakePackage) -> None:
    for package in ("first", "second"):
        make_package(package, "def make(): ...", metrics={"same": "make", f"of_{package}": "make"})
    with pytest.raises(UsageError, match=r"metric 'same' has several origins: first 1\.2\.3 and second 1\.2\.3"):
        find_plugin("metrics", "same")
    assert only("metrics", "of_first").package == "first"
    assert plugin_names("metrics") == ["of_first", "of_second", "same"]


@pytest.mark.parametrize(
    ("text", "target", "reason"),
    [
        ("raise RuntimeError('no licence\\nsecond line')", "make", "RuntimeError: no licence"),
        ("import not_there_at_all", "make", "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("def other(): ...", "make", "AttributeError: module 'broken' has no attribute 'make'"),
        ("make = 3", "make", "int is neither a function nor a class"),
        ("def make(): raise KeyError", "make", "KeyError"),
    ],
)
def test_an_error_in_a_package_names_package_version_and_entry_point(
    make_package: MakePackage, text: str, target: str, reason: str
) -> None:
    make_package("broken", text, models={"net": target})
    with pytest.raises(PluginError) as failure:
        only("models", "net").call()
    assert failure.value.message == f"model 'net' of broken 1.2.3 (dit_bench.models: broken:make): {reason}"
    assert failure.value.exit_code == UsageError.exit_code


def test_errors_of_ours_pass_through_a_package(make_package: MakePackage) -> None:
    text = "from dit_bench.errors import DataError\ndef make(): raise DataError('no such folder')"
    make_package("honest", text, datasets={"own": "make"})
    with pytest.raises(DataError, match=r"^no such folder$"):
        only("datasets", "own").call()


def test_the_package_whose_code_was_running_is_blamed(make_package: MakePackage) -> None:
    text = "def make():\n    def later(): return {}['nothing']\n    return later"
    make_package("late", text, models={"late": "make"})
    later = only("models", "late").call()
    with pytest.raises(KeyError) as failure:
        later()
    error = blamed(failure.value)
    assert error is not None
    assert error.message == "model 'late' of late 1.2.3 (dit_bench.models: late:make): KeyError: 'nothing'"


def test_nobody_is_blamed_for_an_error_of_ours(make_package: MakePackage) -> None:
    make_package("innocent", "def make(): ...", models={"innocent": "make"})
    only("models", "innocent").call()
    with pytest.raises(ZeroDivisionError) as failure:
        _ = 1 / 0
    assert blamed(failure.value) is None
