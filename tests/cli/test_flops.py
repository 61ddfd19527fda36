"""`dit-bench flops` as a user meets it: recipes, models by name, files, and what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from dit_bench.cli.app import main


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["flops", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def _lines(out: str) -> dict[str, list[str]]:
    return {line.split("\t")[0].strip(): line.split("\t")[1:] for line in out.splitlines() if "\t" in line}


def test_a_table_of_the_paper_needs_one_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    target = tmp_path / "table9.md"
    code, out, err = _run(capsys, "pvt/table9", "--out", str(target))
    assert code == 0
    assert "PVT-Small-Wide" in out
    assert "46.822" in out
    assert f"wrote {target}" in err
    assert "46.822" in target.read_text(encoding="utf-8")
    code, _, err = _run(capsys, "pvt/table9", "--out", str(target))
    assert (code, "exists" in err) == (2, True)


def test_a_row_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run(capsys, "dit/table1", "--row", "pvt-v2-b1", "--json")
    assert code == 0
    rows = {row["id"]: row["cells"] for row in json.loads(out)["rows"]}
    assert list(rows) == ["pvt-v2-b1"]
    assert rows["pvt-v2-b1"]["static_params_verdict"]["value"] == "differs"
    assert rows["pvt-v2-b1"]["static_matmul_gmacs"]["value"] == pytest.approx(2.1089, abs=1e-3)


def test_matmul_is_compared_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    """ResNet101 prints 7.9: met by its own convention, matrix products alone round to 7.8."""
    verdicts = {}
    for convention in ("as-printed", "matmul"):
        _, out, _ = _run(capsys, "dit/table1", "--row", "resnet101", "--convention", convention, "--json")
        verdicts[convention] = json.loads(out)["rows"][0]["cells"]["static_gmacs_verdict"]["value"]
    assert verdicts == {"as-printed": "match", "matmul": "within one unit"}


def test_a_model_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run(capsys, "pvt_tiny", "--depth", "1")
    assert code == 0
    lines = _lines(out)
    assert lines["parameters (M)"][0] == "13.229"
    assert lines["GMACs, matmul"][0] == "1.9329"
    assert "equal to what torch dispatched" in lines["MACs by closed form"][1]
    assert lines["patch_embed1"][0] == "PatchEmbed"
    assert "attn" not in lines
    assert "counted as mmcv" in out


def test_sizes_of_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run(capsys, "resnet18", "--image-size", "64", "--image-size", "64x128", "--depth", "0", "--json")
    assert code == 0
    square, wide = json.loads(out)
    assert (square["image_size_px"], wide["image_size_px"]) == ([64, 64], [64, 128])
    head = 512 * 1000
    assert wide["macs"]["matmul"] - head == 2 * (square["macs"]["matmul"] - head)


def test_modules_as_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    target = tmp_path / "modules.csv"
    code, _, _ = _run(capsys, "pvt_v2_nano", "--out", str(target))
    assert code == 0
    with target.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    whole, leaves = rows[0], [row for row in rows if row["class"] in ("Conv2d", "Linear")]
    products = sum(int(row["attention_macs"]) for row in rows if row["path"].endswith(".attn"))
    assert int(whole["macs"]) == sum(int(row["macs"]) for row in leaves) + products


def test_the_audit_shows_every_counter(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run(capsys, "pvt_v2_nano", "--image-size", "64", "--audit", "--depth", "0")
    assert code == 0
    lines = _lines(out)
    for counter in ("dit-bench, closed form", "torch FlopCounterMode", "fvcore", "ptflops, backend aten"):
        assert any(line.startswith(counter) for line in lines), counter
    (meta,) = (line for counter, line in lines.items() if counter.startswith("torch FlopCounterMode / 2, meta"))
    assert meta[:2] == [lines["dit-bench, closed form"][0], "+0"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["resnet5O"], "did you mean 'resnet50'?"),
        (["dit/tabel1"], "did you mean 'dit/table1'"),
        (["dit/table1", "--row", "pvt-v2-b12"], "did you mean"),
        (["dit/table1", "--row", "resnet18", "--profile", "mini"], "row 'resnet18' has no profile 'mini'"),
        (["resnet18", "--row", "x"], "--row: resnet18 is a model"),
        (["resnet18", "model.name=x"], "model.name=x: resnet18 is a model"),
        (["resnet18", "--trained"], "--trained: resnet18 is a model"),
        (["resnet18", "--image-size", "64y64"], "'64y64' is no input size"),
        (["resnet18", "--image-size", "0"], "'0' is no input size"),
        (["pvt_tiny", "--image-size", "24"], "pvt_tiny cannot take an input of 24x24 pixels"),
        (["resnet18", "--out", "modules.md"], "unknown format '.md'"),
        (["resnet18", "--out", "a.csv", "--image-size", "64", "--image-size", "96"], "2 input sizes are given"),
    ],
)
def test_slips_are_refused_in_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    code, out, err = _run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert said in err
    assert len(err.splitlines()) == 1
