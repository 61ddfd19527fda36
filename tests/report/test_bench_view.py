from __future__ import annotations

import json
from pathlib import Path

from dit_bench.report.bench_table import SCHEMA_VERSION, bench_json, save_bench
from dit_bench.report.bench_view import bench_lines
from dit_bench.report.saved_table import BENCH_RESULT, read_saved
from tests.report.test_bench_table import REPORT


def test_a_saved_benchmark_is_read_and_shown(tmp_path: Path) -> None:
    kind, document = read_saved(save_bench(REPORT, tmp_path / "bench.json"))
    assert kind == "bench"
    assert document == json.loads(json.dumps(bench_json(REPORT)))
    assert BENCH_RESULT.newest == SCHEMA_VERSION
    lines = bench_lines(document)
    said = {(section, key): value for section, key, value in lines}
    assert said["provenance", "code"] == "dit-bench 1, commit 0123456789ab, with changes that the commit lacks"
    assert said["provenance", "command"] == "dit-bench bench dit_b2"
    assert said["provenance", "compiled forms"] == "tried"
    assert said["provenance", "accelerator"] == "—"
    assert said["provenance", "packages.torch"] == "2.13.0"
    # The rounds of the baseline take 1.5 times ours, 2 by MACs: rho = 0.5 / 1.
    faster = said["speed-up", "dit_b2, 224x320, batch 8, kept 0.50, against pvt"]
    assert faster.startswith("real 1.500 [1.500, 1.600], faster; ideal 2.000; rho 0.500 [0.500, 0.600]; GMACs 2 and 4")
    assert "rho" not in said["speed-up", "dit_b2, 224x320, batch 8, kept 0.50, against padded"]
    (counting,) = [value for section, _, value in lines if section == "cost of counting"]
    assert counting.endswith("rounds [95 %]")
