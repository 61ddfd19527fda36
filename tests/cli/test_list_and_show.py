from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from dit_bench.cli import console
from dit_bench.cli.app import main
from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.names import recipe_names
from dit_bench.recipes.resolve import resolve
from dit_bench.recipes.settings import RunSettings
from dit_bench.runs.provenance import collect_provenance
from dit_bench.runs.record import RunRecord
from dit_bench.runs.store import RunStore


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder with a finished, a damaged and an interrupted run."""
    root = tmp_path / "results [1]"
    store = RunStore(root)
    for seed in (0, 1):
        record = RunRecord(
            run_id="",
            settings=RunSettings(),
            seed=seed,
            provenance=collect_provenance(device="cpu", threads=1),
            metrics={"top1_percent": 88.25},
            kept_ratio=[[1.0]],
            column_open_ratio=[],
            num_images=4,
        )
        with store.begin(record.settings, seed) as run:
            finished = run.publish(record)
    (finished.path / "run.json").write_text("{", encoding="utf-8")
    store.begin(RunSettings(), 2).close()
    return root


def _json(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> tuple[object, str]:
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    return json.loads(out), err


def test_list_names_every_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split("\t") == ["recipe", "kind", "rows", "profiles", "title"]
    assert [line.split("\t")[0] for line in lines] == recipe_names()
    data, _ = _json(capsys, ["list", "--json"])
    assert isinstance(data, list)
    table6 = next(recipe for recipe in data if recipe["name"] == "dit/table6")
    assert table6["rows"] == ["static", "dynamic", "fully"]
    assert table6["profiles"] == ["smoke", "mini", "paper"]


def test_list_of_runs_reports_damage_and_goes_on(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--runs", "--results", str(results)]) == 0
    out, err = capsys.readouterr()
    heading, line = out.splitlines()
    row = dict(zip(heading.split("\t"), line.split("\t"), strict=True))
    assert row["run"].endswith("-seed0")
    assert (row["model"], row["variant"], row["seed"], row["top1_percent"]) == ("dit_mini", "dynamic", "0", "88.25")
    assert row["gmacs_mean"] == ""
    assert "damaged" in err
    assert "not finished" in err
    data, _ = _json(capsys, ["list", "--runs", "--json", "--results", str(results)])
    assert isinstance(data, dict)
    assert {key: len(value) for key, value in data.items()} == {"finished": 1, "damaged": 1, "interrupted": 1}


def test_list_of_runs_of_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, _ = _json(capsys, ["list", "--runs", "--json", "--results", str(tmp_path / "missing")])
    assert data == {"finished": [], "damaged": [], "interrupted": []}


def test_show_gives_every_value_with_its_origin(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["show", "dit/table8", "--row", "scale", "--profile", "paper", "optimiser.lr=0.5", "--seed", "3"]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = [line.split("\t") for line in out.splitlines()]
    assert lines[0] == ["row", "key", "value", "origin"]
    assert {line[0] for line in lines[1:]} == {"scale"}
    found = {line[1]: (line[2], line[3]) for line in lines[1:]}
    expected = resolve(load_recipe("dit/table8"), "scale", "paper", ["optimiser.lr=0.5"])
    assert set(expected.origins) < set(found)
    assert found["optimiser.lr"] == ("0.5", "command line")
    assert found["seeds"] == ("[3]", "command line")
    assert found["optimiser.clip_grad_norm"][0] == "null"
    assert found["numerics.compile"] == ("false", "default")
    assert found["printed.gmacs"][0] == "8.4"
    origin_file, _, line_number = found["routing.budget_ratio"][1].partition(":")
    assert origin_file == "recipes/dit/table8.yaml"
    text = load_recipe("dit/table8").path.read_text(encoding="utf-8").splitlines()
    assert "budget_ratio: 2.1" in text[int(line_number) - 1]


def test_show_as_json_can_be_validated_again(capsys: pytest.CaptureFixture[str]) -> None:
    data, err = _json(capsys, ["show", "dit/table6", "--json"])
    assert err == ""
    assert isinstance(data, dict)
    assert (data["recipe"], data["profile"]) == ("dit/table6", "mini")
    assert [row["id"] for row in data["rows"]] == ["static", "dynamic", "fully"]
    for row in data["rows"]:
        expected = resolve(load_recipe("dit/table6"), row["id"], "mini")
        assert RunSettings.model_validate(row["settings"]) == expected.settings
        assert row["seeds"] == list(expected.seeds)
        assert row["origins"]["routing.variant"] == expected.origins["routing.variant"]


def test_a_terminal_gets_a_drawn_table_without_markup(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    console.print_table("A [bold]title[/bold]", ("key",), [("[red]value[/red]",)])
    out = capsys.readouterr().out
    assert "A [bold]title[/bold]" in out
    assert "[red]value[/red]" in out
    assert "─" in out


def test_json_refuses_what_json_cannot_say(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="JSON"):
        console.print_json({"loss": float("nan")})


def test_a_recipe_of_the_users_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = load_recipe("dit/fig3").path.read_text(encoding="utf-8")
    base = load_recipe("dit/fig3").path.parent.parent / "base" / "dit.yaml"
    (tmp_path / "own.yaml").write_text(text.replace("../base/dit.yaml", str(base)), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["show", "own.yaml", "--profile", "smoke"]) == 0
    assert "\town.yaml:" in capsys.readouterr().out
