"""Every format parses back to the table it was made from."""

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from dit_bench.errors import UsageError
from dit_bench.report.cells import Table
from dit_bench.report.inputs import RunSummary, TableSpec
from dit_bench.report.render_csv import render_claims_csv, render_csv
from dit_bench.report.render_json import render_json
from dit_bench.report.render_latex import escape as escape_latex
from dit_bench.report.render_latex import render_latex
from dit_bench.report.render_markdown import render_markdown
from dit_bench.report.render_rich import render_rich, shorten_run_ids
from dit_bench.report.save_table import TABLE_RENDERERS, save_table
from dit_bench.report.table import build_table


@pytest.fixture
def table(spec: TableSpec, runs: list[RunSummary]) -> Table:
    return build_table(spec, runs)


def _printed(table: Table, width: int) -> str:
    stream = io.StringIO()
    Console(width=width, file=stream, color_system=None).print(render_rich(table, width))
    return stream.getvalue()


def test_csv_parses_back_in_full_precision(table: Table) -> None:
    rows = list(csv.DictReader(io.StringIO(render_csv(table))))
    static = rows[0]
    assert [row["row"] for row in rows] == ["static", "dynamic", "fully"]
    assert static["label"] == "Static_x | 100%"
    assert float(static["difference"]) == pytest.approx(-17 / 6, rel=1e-15)
    assert float(static["quality_low"]) < 83 < float(static["quality_high"])
    assert static["quality_n"] == "3"
    assert static["runs"].split(";") == [f"dit_mini-static-ab12cd34ef-seed{k}" for k in range(3)]
    assert rows[2]["quality"] == ""
    assert rows[2]["verdict"] == "no data"


def test_csv_columns_do_not_depend_on_the_runs(
    table: Table, spec: TableSpec, make_run: Callable[..., RunSummary]
) -> None:
    header = render_csv(table).splitlines()[0]
    for runs in ([], [make_run("static", 0, 80.0)]):
        lines = list(csv.reader(io.StringIO(render_csv(build_table(spec, runs)))))
        assert ",".join(lines[0]) == header
        assert {len(line) for line in lines} == {len(lines[0])}


def test_claims_csv(table: Table) -> None:
    rows = list(csv.DictReader(io.StringIO(render_claims_csv(table))))
    assert [(row["claim"], row["verdict"]) for row in rows] == [("accuracy", "reproduced"), ("cost", "no data")]
    assert float(rows[0]["p"]) == pytest.approx(1 - 17 / 291**0.5)
    assert rows[1]["p"] == ""


def test_json_holds_values_runs_and_claims(table: Table, runs: list[RunSummary]) -> None:
    document = json.loads(render_json(table))
    assert document["schema_version"] == 2
    static = document["rows"][0]["cells"]
    assert static["quality"]["value"] == 83.0
    assert static["quality"]["interval"] == pytest.approx([83 - 4.302653 / 3**0.5, 83 + 4.302653 / 3**0.5])
    assert static["runs"]["value"] == [run.run_id for run in runs[:3]]
    assert document["rows"][2]["cells"]["quality"]["value"] is None
    assert [run["metrics"] for run in document["runs"]] == [dict(run.metrics) for run in runs]
    assert document["runs"][0]["training"] == {"sampled_gmacs": 0.0096}
    assert document["claims"][0]["comparison"]["test"] == "paired t"
    assert document["claims"][1]["comparison"] is None
    assert set(document["rows"][0]["cells"]) == {column["key"] for column in document["columns"]}


def test_markdown_tables_are_rectangular(table: Table) -> None:
    text = render_markdown(table)
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    assert len(tables) == 3
    for block in tables:
        lines = block.strip().split("\n")
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
        assert len(counts) == 1, block
        assert re.fullmatch(r"(\| -+:? )+\|", lines[1])
        assert len(lines) == 2 + (2 if "Claim" in lines[0] else 3)
    assert r"Static\_x \| 100%" in text
    assert "`dit_mini-static-ab12cd34ef-seed2`" in text
    assert f"`{table.command}`" in text


def test_latex_escapes() -> None:
    assert escape_latex(r"50% & #1_a {x} $y$ ~ ^ \z") == (
        r"50\% \& \#1\_a \{x\} \$y\$ \textasciitilde{} \textasciicircum{} \textbackslash{}z"
    )
    assert escape_latex('"a" − b ± 1 × 2 §4') == r"``a'' $-$ b $\pm$ 1 $\times$ 2 \S{}4"


def test_latex_is_pure_ascii_and_rectangular(table: Table) -> None:
    text = render_latex(table)
    assert text.isascii()
    assert r"Static\_x | 100\%" in text
    assert text.count(r"\toprule") == text.count(r"\midrule") == text.count(r"\bottomrule") == 2
    for environment in ("table", "tabular", "adjustbox", "itemize"):
        assert text.count(f"\\begin{{{environment}}}") == text.count(f"\\end{{{environment}}}") > 0
    for alignment, body in re.findall(r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}", text, flags=re.DOTALL):
        rows = body.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().split("\n")
        assert len(rows) == 3
        for row in rows:
            assert len(re.findall(r"(?<!\\)&", row)) == len(alignment) - 1
    assert "% static: dit_mini-static-ab12cd34ef-seed0, " in text


@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
def test_terminal_never_exceeds_its_width(table: Table, width: int) -> None:
    lines = _printed(table, width).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    # No cell is broken or cut: the verdicts and the accuracies stand on one line each.
    text = "\n".join(lines)
    assert "83.00 ± 1.00 (3)" in text
    assert "within noise" in text
    assert "…" not in text


def test_narrow_terminal_names_what_it_drops(table: Table) -> None:
    wide, narrow = _printed(table, 200), _printed(table, 100)
    assert "Not shown" not in wide
    assert "Not shown in 100 columns: GMACs, paper (GFLOPs);" in " ".join(narrow.split())
    assert "ab12cd34ef seed 0, 1, 2" in narrow


def test_terminal_drops_what_is_not_judged_first(table: Table, comparable_spec: TableSpec, runs: list) -> None:
    absolute = _printed(build_table(comparable_spec, runs), 100)
    assert "80.7" in absolute  # the printed accuracy is what the verdict is about
    assert "−2.4" not in absolute
    relative = _printed(table, 100)
    assert "−2.4" in relative
    assert "80.7" not in relative


def test_run_ids_shorten_to_hash_and_seeds() -> None:
    ids = ["dit_mini-dynamic-ab12cd34ef-seed0", "dit_mini-dynamic-ab12cd34ef-seed1-r2", "x-ffff-seed3"]
    assert shorten_run_ids(ids) == "ab12cd34ef seed 0, 1-r2\nffff seed 3"
    assert shorten_run_ids(["something-else-altogether"]) == "…else-altogether"


@pytest.mark.parametrize("suffix", sorted(TABLE_RENDERERS))
def test_save_by_suffix(table: Table, tmp_path: Path, suffix: str) -> None:
    path = save_table(table, tmp_path / "new folder" / f"table{suffix}")
    assert path.read_text(encoding="utf-8") == TABLE_RENDERERS[suffix](table)
    with pytest.raises(UsageError, match="exists"):
        save_table(table, path)
    path.write_text("old")
    save_table(table, path, force=True)
    assert path.read_text(encoding="utf-8") == TABLE_RENDERERS[suffix](table)


def test_unknown_table_format_is_refused(table: Table, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'\.xlsx' — use one of \.md, \.csv, \.tex, \.json"):
        save_table(table, tmp_path / "table.xlsx")
    assert list(tmp_path.iterdir()) == []
