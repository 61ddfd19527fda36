"""A table as GitHub Markdown: the comparison with the print, the claims, the costs, and the notes."""

from dit_bench.report.cells import Cell, Section, Table

_SPECIAL = str.maketrans({"|": r"\|", "<": "&lt;", "*": r"\*", "_": r"\_", "`": r"\`"})


def render_markdown(table: Table) -> str:
    """The table as Markdown, ending in the command that makes it."""
    blocks = [f"**{escape(table.title)}**", escape(table.caption.removeprefix(table.title).strip())]
    if table.caption.startswith(table.title):
        blocks = [f"**{escape(table.title)}** {blocks[1]}"]
    for section in table.sections:
        if section == "cost" and table.claims:
            blocks += ["Claims of the paper:", _claims(table)]
        if section == "cost" or len(table.sections) > 2:
            blocks.append(table.heading(section))
        blocks.append(_section(table, section))
    blocks.append("\n".join(f"- {escape(note)}" for note in table.notes))
    blocks.append(f"Made with `{table.command}`.")
    return "\n\n".join(blocks) + "\n"


def escape(text: str) -> str:
    """Text with Markdown's special characters escaped, on one line."""
    return " ".join(text.translate(_SPECIAL).split())


def _section(table: Table, section: Section) -> str:
    columns = table.section(section)
    cells = [[row.cells[column.key] for column in columns] for row in table.rows_in(section)]
    left = [column.key in ("label", "runs") or column.name == "verdict" for column in columns]
    return _grid(
        [escape(column.heading) for column in columns],
        [[_text(cell) for cell in line] for line in cells],
        left,
    )


def _claims(table: Table) -> str:
    lines = [
        [escape(claim.spec.text), claim.verdict, escape(claim.statement), escape(claim.spec.source)]
        for claim in table.claims
    ]
    return _grid(["Claim", "Verdict", "Statistics", "Source"], lines, [True] * 4)


def _text(cell: Cell) -> str:
    if isinstance(cell.value, tuple):
        return "<br>".join(f"`{run_id}`" for run_id in cell.value)
    text = escape(cell.text)
    return f"{text} {escape(cell.detail)}" if cell.detail else text


def _grid(header: list[str], lines: list[list[str]], left: list[bool]) -> str:
    """Aligned source, so that the file reads well unrendered too."""
    widths = [max(len(line[k]) for line in [header, *lines]) for k in range(len(header))]

    def row(cells: list[str]) -> str:
        padded = [c.ljust(w) if ell else c.rjust(w) for c, w, ell in zip(cells, widths, left, strict=True)]
        return "| " + " | ".join(padded) + " |"

    rule = ["-" * w if ell else "-" * (w - 1) + ":" for w, ell in zip(widths, left, strict=True)]
    return "\n".join([row(header), row(rule), *(row(line) for line in lines)])
