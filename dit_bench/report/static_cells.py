"""The cells of one counted row: parameters and MACs beside the print, stages, fixed paths."""

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Protocol

from dit_bench.recipes.schema import Stage
from dit_bench.report.cells import Cell, missing
from dit_bench.report.inputs import GMACS, RowSpec
from dit_bench.report.numbers import fixed, signed
from dit_bench.report.statistics import decimals_of, mean

MMCV_DECIMALS = 2
"""mmcv's counter prints two decimals; papers round those once more."""
MMCV_CONVENTIONS = frozenset({"mmcv", "mmcv-layernorm", "mmcv-no-attention", "mmcv-layernorm-no-attention"})
OUR_DECIMALS = 3


class Counted(Protocol):
    """What counting a row without data brings."""

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the input in pixels."""
        ...

    @property
    def macs(self) -> Mapping[str, float]:
        """MACs by convention; empty for a routed model."""
        ...

    @property
    def paths(self) -> Mapping[str, int]:
        """MACs (convention `matmul`) of the fixed paths of a routed model."""
        ...

    @property
    def path_as_printed(self) -> str | None:
        """The path whose cost a routed row prints, if no image decides it."""
        ...

    @property
    def target_macs(self) -> int | None:
        """What the budget aims at, if there is one."""
        ...

    @property
    def params_total(self) -> int | None:
        """Number of parameters; None without a model."""
        ...

    @property
    def params_trainable(self) -> int | None:
        """Those of them that are trained; None without a model."""
        ...

    @property
    def params_layers(self) -> int | None:
        """Those of convolutions, linear layers and batch norms alone; None where they were not told apart."""
        ...

    @property
    def stages(self) -> Sequence[Stage]:
        """The architecture as built, where it is a pyramid without routing."""
        ...

    @property
    def problem(self) -> str:
        """Why the row could not be counted; empty if it was."""
        ...


def static_verdict(printed: float, decimals: int, ours: float, decimals_first: int | None = None) -> str:
    """`match` if ours rounds (half up) to the print, `within one unit` of its last digit, or `differs`.

    `decimals_first`: ours is rounded to so many decimals before, as the tool did whose output was printed.
    """
    value = Decimal(repr(ours))
    if decimals_first is not None:
        value = _rounded(value, decimals_first)
    unit = Decimal(1).scaleb(-decimals)
    target = Decimal(repr(printed))
    if _rounded(value, decimals) == target:
        return "match"
    return "within one unit" if abs(Decimal(repr(ours)) - target) <= unit else "differs"


def _rounded(value: Decimal, decimals: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)


def static_cells(
    row: RowSpec,
    count: Counted,
    printed_stages: Sequence[Stage],
    convention: str | None,
    used_params_m: Sequence[float] = (),
) -> dict[str, Cell]:
    """The counted cells of one row; `used_params_m`: millions of parameters that each run of a routed row used."""
    cells = _params_cells(row, count, used_params_m) | _gmacs_cells(row, count, convention)
    if printed_stages:
        cells |= _stage_cells(printed_stages, count.stages)
    cells |= _path_cells(count)
    if count.paths:
        target = count.target_macs
        cells["path_target of the budget"] = (
            missing() if target is None else Cell(fixed(target / 1e9, OUR_DECIMALS), target / 1e9, "measured")
        )
    return cells


def pruned_static_cells(row: RowSpec, count: Counted, convention: str | None) -> dict[str, Cell]:
    """The counted cells of a row of DToP: its network is the whole one, its cost is decided by images if it prunes."""
    if not count.paths or count.params_total is None:
        return static_cells(row, count, (), convention)
    unknown = missing()
    cells = _compared("params", "params_m", row.printed.get("params_m"), count.params_total / 1e6, None)
    cells |= _uncompared("gmacs", "gmacs", row.printed.get(GMACS), unknown)
    cells |= {"static_matmul_gmacs": unknown, "static_convention": unknown}
    return cells | _path_cells(count)


def _path_cells(count: Counted) -> dict[str, Cell]:
    return {
        f"path_{name}": Cell(fixed(macs / 1e9, OUR_DECIMALS), macs / 1e9, "measured")
        for name, macs in count.paths.items()
    }


def _params_cells(row: RowSpec, count: Counted, used_params_m: Sequence[float]) -> dict[str, Cell]:
    printed = row.printed.get("params_m")
    counted = {"all": count.params_total, "trainable": count.params_trainable, "layers": count.params_layers}
    number = counted[row.params_convention]
    total = None if number is None else number / 1e6
    if total is not None and not count.paths:
        return _compared("params", "params_m", printed, total, None)
    # A routed row prints the parameters that some image used; before a run only their upper bound is known.
    if used_params_m:
        return _compared("params", "params_m", printed, mean(used_params_m), None)
    ours = missing(count.problem) if total is None else Cell(f"≤ {fixed(total, OUR_DECIMALS)}", total, "derived")
    return _uncompared("params", "params_m", printed, ours)


def _gmacs_cells(row: RowSpec, count: Counted, convention: str | None) -> dict[str, Cell]:
    printed, used = row.printed.get(GMACS), convention or row.convention
    if count.macs:
        decimals_first = MMCV_DECIMALS if used in MMCV_CONVENTIONS else None
        cells = _compared("gmacs", "gmacs", printed, count.macs[used] / 1e9, decimals_first)
        matmul = count.macs["matmul"] / 1e9
        cells["static_matmul_gmacs"] = Cell(fixed(matmul, OUR_DECIMALS), matmul, "measured")
    elif count.path_as_printed is not None:
        macs = count.paths[count.path_as_printed] / 1e9
        used = "matmul"
        cells = _compared("gmacs", "gmacs", printed, macs, None)
        cells["static_matmul_gmacs"] = Cell(fixed(macs, OUR_DECIMALS), macs, "measured")
    else:
        target = count.target_macs
        ours = missing(count.problem) if target is None else _target(target)
        cells = _uncompared("gmacs", "gmacs", printed, ours)
        cells["static_matmul_gmacs"] = ours
    cells["static_convention"] = Cell(used, used, "label") if printed is not None else missing()
    return cells


def _target(macs: int) -> Cell:
    return Cell(f"target {fixed(macs / 1e9, OUR_DECIMALS)}", macs / 1e9, "derived")


def _compared(name: str, key: str, printed: float | None, ours: float, decimals_first: int | None) -> dict[str, Cell]:
    cells = {f"static_{key}": Cell(fixed(ours, OUR_DECIMALS), ours, "measured")}
    if printed is None:
        rest = (f"static_printed_{key}", f"static_{name}_difference", f"static_{name}_verdict")
        return cells | {column: missing() for column in rest}
    decimals = decimals_of(printed)
    judged = static_verdict(printed, decimals, ours, decimals_first)
    difference = ours - printed
    return cells | {
        f"static_printed_{key}": Cell(fixed(printed, decimals), printed, "printed"),
        f"static_{name}_difference": Cell(signed(difference, OUR_DECIMALS), difference, "measured"),
        f"static_{name}_verdict": Cell(judged, judged, "verdict"),
    }


def _uncompared(name: str, key: str, printed: float | None, ours: Cell) -> dict[str, Cell]:
    shown = missing() if printed is None else Cell(fixed(printed, decimals_of(printed)), printed, "printed")
    return {
        f"static_{key}": ours,
        f"static_printed_{key}": shown,
        f"static_{name}_difference": missing(),
        f"static_{name}_verdict": Cell("no data", "no data", "verdict"),
    }


def _stage_cells(printed: Sequence[Stage], built: Sequence[Stage]) -> dict[str, Cell]:
    assert len(printed) == len(built), "another number of stages"
    cells, same = {}, True
    for number, (theirs, ours) in enumerate(zip(printed, built, strict=True), start=1):
        text, print_text = _stage_text(ours), _stage_text(theirs)
        same = same and text == print_text
        detail = "" if text == print_text else f"printed {print_text}"
        cells[f"stage_{number}"] = Cell(text, text, "measured", detail=detail)
    judged = "match" if same else "differs"
    return cells | {"stages_verdict": Cell(judged, judged, "verdict")}


def _stage_text(stage: Stage) -> str:
    letters = (stage.patch_size, stage.embed_dim, stage.sr_ratio, stage.num_heads, stage.mlp_ratio)
    return f"{' '.join(f'{name}{value}' for name, value in zip('PCRNE', letters, strict=True))} × {stage.depth}"
