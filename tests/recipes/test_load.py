from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dit_bench.recipes import names
from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.problems import RecipeError
from dit_bench.recipes.resolve import profiles_of


def _refused(path: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_minimal_recipe(write: Callable[..., str]) -> None:
    loaded = load_recipe(write())
    assert loaded.recipe.row_ids == ["dynamic"]
    assert profiles_of(loaded) == ["smoke"]
    assert loaded.name.endswith("own.yaml")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("epochs: 4", "epochs: 4.5", ":6: common.optimiser.epochs = 4.5: must be a valid integer"),
        ("epochs: 4", "epochs: 0", ":6: common.optimiser.epochs = 0: must be greater than 0"),
        ("epochs: 4", "epochs: '4'", ":6: common.optimiser.epochs = '4': must be a valid integer"),
        ("epochs: 4", "epochs: null", ":6: common.optimiser.epochs = null: must be a valid integer"),
        ("epochs: 4", "lr: true", ":6: common.optimiser.lr = true: must be a valid number"),
        ("{epochs: 4}", "4", ":6: common.optimiser: must be a mapping"),
        ("{epochs: 4}", "null", ":6: common.optimiser: must be a mapping"),
        ("optimiser: {epochs: 4}", "epochs: 4", ":6: common.epochs: unknown key — it belongs to 'optimiser'"),
        ("optimiser: {epochs: 4}", "data: {eval_split: tnue}", "'val' or 'tune' — did you mean 'tune'?"),
        ("kind: table", "kind: tabel", ":3: kind = 'tabel': must be 'table' or 'figure' — did you mean 'table'?"),
        ("kind: table", "kind: figure", "needs the key 'figure'"),
        ("kind: table", "kind: table\nfigure: skips", "belongs to recipes of kind 'figure'"),
        (
            "kind: table",
            "kind: figure\nfigure: curves",
            "the key 'axes' belongs to figures of kind 'curves' or 'tradeoff'",
        ),
        (
            "kind: table",
            "kind: table\naxes: {horizontal: epoch, vertical: box_ap_percent}",
            "the key 'axes' belongs to",
        ),
        ("kind: table", "kind: table\ngroups: [{label: A, rows: [dynamic]}]", "the key 'groups' belongs to"),
        (
            "kind: table",
            "kind: figure\nfigure: curves\naxes: {horizontal: gmacs_mean, vertical: box_ap_percent}",
            "the horizontal axis is 'epoch' in figures of kind 'curves'",
        ),
        (
            "kind: table",
            "kind: figure\nfigure: tradeoff\naxes: {horizontal: epoch, vertical: box_ap_percent}",
            "the horizontal axis is 'epoch' in figures of kind 'curves'",
        ),
        (
            "kind: table",
            "kind: figure\nfigure: tradeoff\naxes: {horizontal: gmacs_mean, vertical: box_ap_percent}\n"
            "groups: [{label: A, rows: [dynamc]}]",
            "no row 'dynamc', of which group 'A' speaks",
        ),
        ("kind: table", "kind: table\ncounted_at_px: [800]", ":4: counted_at_px = [800]: must have at least 2 items"),
        ("schema_version: 1", "schema_version: 2", ":1: schema_version = 2: must be 1"),
        ("smoke: {}", "smoke: {seeds: []}", ":8: profiles.smoke.seeds = []: must have at least 1 item"),
        ("smoke: {}", "smoke: {seeds: [1, 1]}", ":8: profiles.smoke: a seed stands twice"),
        ("smoke: {}", "smoke: {seeds: [-1]}", ":8: profiles.smoke.seeds[0] = -1: must be greater than or equal to 0"),
        ('    label: "Dynamic"\n', "", ":10: rows[0].label: missing"),
        ("id: dynamic", "id: Dynamic Row", ":10: rows[0].id = 'Dynamic Row': must match pattern"),
        ("rows:\n", "reference_row: dynamc\nrows:\n", ":9: reference_row: no row 'dynamc' — did you mean 'dynamic'?"),
        (
            '    label: "Dynamic"\n',
            '    label: "A"\n  - {id: dynamic, label: B}\n',
            ":12: rows[1].id: the id 'dynamic' stands twice",
        ),
        (
            "rows:\n",
            "claims: [{id: a, higher: dynamic, lower: statc, metric: top1_percent, text: t, source: s}]\nrows:\n",
            ":9: claims[0].lower: no row 'statc'",
        ),
        (
            "rows:\n",
            "claims: [{id: a, higher: dynamic, lower: dynamic, metric: top1, text: t, source: s}]\nrows:\n",
            ":9: claims[0].metric = 'top1': must be 'top1_percent'",
        ),
    ],
)
def test_wrong_values_are_named_with_line_and_what_is_allowed(
    write: Callable[..., str], old: str, new: str, expected: str
) -> None:
    assert expected in _refused(write((old, new)))


def test_printed_figures_keep_their_decimals(write: Callable[..., str]) -> None:
    row = '    label: "Dynamic"\n'
    figures = "    printed: {gmacs: 239, params_m: 66.0, box_ap_percent: 39, box_ap_difference: -1}\n"
    printed = load_recipe(write((row, row + figures))).recipe.rows[0].printed
    assert repr((printed.gmacs, printed.params_m)) == "(239, 66.0)"
    assert repr((printed.box_ap_percent, printed.box_ap_difference)) == "(39, -1)"
    for wrong in ("gmacs: 0", "gmacs: true", "gmacs: '239'", "box_ap_percent: -1"):
        assert "rows[0].printed." in _refused(write((row, row + f"    printed: {{{wrong}}}\n")))


def test_profiles_of_a_row_and_unknown_profiles(write: Callable[..., str]) -> None:
    row = '    label: "Dynamic"\n'
    wrong = write((row, row + "    profiles: {smok: {}}\n"))
    assert "rows[0].profiles.smok: unknown key — did you mean 'smoke'?" in _refused(wrong)


def test_includes_are_read_in_order_and_may_nest(write: Callable[..., str]) -> None:
    write(text="schema_version: 1\ncommon: {optimiser: {epochs: 7}}\n", name="a/outer.yaml")
    write(text="schema_version: 1\ninclude: ../a/outer.yaml\n", name="b/inner.yaml")
    loaded = load_recipe(write(("paper:", "include: b/inner.yaml\npaper:")))
    assert [Path(layer.source.shown).name for layer in loaded.layers] == ["outer.yaml", "inner.yaml", "own.yaml"]


def test_include_circle_missing_file_and_wrong_key_inside(write: Callable[..., str]) -> None:
    write(text="schema_version: 1\ninclude: b.yaml\n", name="a.yaml")
    write(text="schema_version: 1\ninclude: a.yaml\n", name="b.yaml")
    message = _refused(write(("paper:", "include: a.yaml\npaper:")))
    assert "b.yaml:2: include: files include each other in a circle" in message
    assert "own.yaml:4: include: no such file: c.yaml — did you mean" in _refused(
        write(("paper:", "include: c.yaml\npaper:"))
    )
    write(text="schema_version: 1\ncommon:\n  optimizer: {}\n", name="d.yaml")
    message = _refused(write(("paper:", "include: d.yaml\npaper:")))
    assert "d.yaml:3: common.optimizer: unknown key — did you mean 'optimiser'?" in message


def test_short_names_and_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert set(names.recipe_names()) >= {"dit/table6", "dit/table7", "dit/table8", "dit/fig3", "dit/fig4"}
    assert not any(name.startswith("base/") for name in names.recipe_names())
    by_name = load_recipe("dit/table6")
    by_path = load_recipe(str(names.recipes_root() / "dit" / "table6.yaml"))
    assert by_name == by_path
    assert by_name.name == "dit/table6"
    assert by_name.source.shown == "recipes/dit/table6.yaml"
    monkeypatch.chdir(tmp_path)
    assert load_recipe("dit/table6") == by_name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("table6", "unknown recipe 'table6' — did you mean 'dit/table6' or 'dtop/table6' or 'pvt/table6'?"),
        ("table7", "unknown recipe 'table7' — did you mean 'dit/table7' or 'dtop/table7' or 'pvt/table7'?"),
        ("dit/tabel6", "unknown recipe 'dit/tabel6' — did you mean 'dit/table6'?"),
        ("nothing/like/it.yaml", "no such recipe file: nothing/like/it.yaml — no folder nothing/like"),
    ],
)
def test_unknown_recipes(name: str, expected: str) -> None:
    assert _refused(name) == expected


def test_misspelt_path_suggests_a_neighbour(write: Callable[..., str]) -> None:
    assert "did you mean 'own.yaml'?" in _refused(write().replace("own", "onw"))


def test_recipes_inside_the_installed_package_come_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "site" / "dit_bench"
    package.mkdir(parents=True)
    monkeypatch.setattr(names.dit_bench, "__file__", str(package / "__init__.py"))
    assert names.recipes_root() == tmp_path / "site" / "recipes"
    shipped = package / "shipped_recipes" / "dit"
    shipped.mkdir(parents=True)
    (shipped / "table1.yaml").write_text("", encoding="utf-8")
    assert names.recipe_names() == ["dit/table1"]
    assert names.shown_path(names.find_recipe("dit/table1")) == "recipes/dit/table1.yaml"
