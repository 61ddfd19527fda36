"""A table as LaTeX with booktabs: one floating table, the claims as a list below it."""

import re
from collections.abc import Sequence
from itertools import groupby

from dit_bench.report.cells import Cell, Column, Table, TableRow, missing

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": r"$-$",
    "—": "---",
    "Δ": r"$\Delta$",
    "<": r"$<$",
    ">": r"$>$",
    "²": r"\textsuperscript{2}",
    "√": r"$\surd$",
    "§": r"\S{}",
    "[": "{[}",
    "]": "{]}",
}


def render_latex(table: Table) -> str:
    """The table as a `table` environment that needs the packages adjustbox and booktabs; run ids stand in comments."""
    lines = ["% Needs \\usepackage{adjustbox,booktabs}.", f"% Made with: {_comment(table.command)}"]
    for row in table.rows:
        run_ids = row.cells.get("runs", missing()).value
        lines.append(f"% {_comment(row.id)}: {', '.join(run_ids) if isinstance(run_ids, tuple) else 'no data'}")
    lines += [r"\begin{table}", r"\centering", f"\\caption{{{escape(table.caption)}}}", r"\footnotesize"]
    for position, section in enumerate(table.sections):
        if position:
            lines.append(r"\par\medskip")
        if len(table.sections) > 2:
            lines.append(rf"{escape(table.heading(section))}\par")
        columns = [column for column in table.section(section) if column.key != "runs"]
        lines += _tabular(columns, table.rows_in(section))
    if table.claims:
        lines += [r"\par\medskip", r"\begin{itemize}"]
        for claim in table.claims:
            text = f"{claim.spec.text} ({claim.spec.source}):"
            lines.append(rf"\item {escape(text)} \textbf{{{claim.verdict}}} ({escape(claim.statement)}).")
        lines.append(r"\end{itemize}")
    lines += [r"\par\medskip", *[f"{escape(note)}\\par" for note in table.notes], r"\end{table}"]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Text with every character that LaTeX would interpret, or may lack, replaced."""
    escaped = "".join(_SPECIAL.get(character, character) for character in " ".join(text.split()))
    return re.sub('"([^"]*)"', r"``\1''", escaped)


def _tabular(columns: Sequence[Column], rows: Sequence[TableRow]) -> list[str]:
    alignment = "".join("l" if column.key == "label" or column.name == "verdict" else "r" for column in columns)
    heads, rules, names, position = [], [], [], 1
    for group, members in groupby(columns, key=lambda column: column.group):
        members = list(members)
        span = len(members)
        heads.append(f"\\multicolumn{{{span}}}{{c}}{{{escape(group)}}}" if group else " & ".join([""] * span))
        if group:
            rules.append(f"\\cmidrule(lr){{{position}-{position + span - 1}}}")
        names += [escape(member.name) for member in members]
        position += span
    lines = [r"\begin{adjustbox}{max width=\linewidth}", f"\\begin{{tabular}}{{{alignment}}}", r"\toprule"]
    lines += [" & ".join(heads) + r" \\", "".join(rules), " & ".join(names) + r" \\", r"\midrule"]
    for row in rows:
        lines.append(" & ".join(_text(row.cells[column.key]) for column in columns) + r" \\")
    return [*lines, r"\bottomrule", r"\end{tabular}", r"\end{adjustbox}"]


def _text(cell: Cell) -> str:
    return escape(f"{cell.text} {cell.detail}" if cell.detail else cell.text)


def _comment(text: str) -> str:
    """Text that cannot end a comment line."""
    return " ".join(text.split())
