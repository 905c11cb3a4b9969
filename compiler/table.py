"""Plain-text tables and quantities, shared by every report."""

from __future__ import annotations

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class Table:
    """Columns aligned by content: numbers to the right, everything else to the left."""

    def __init__(self, *header: str) -> None:
        self.rows: list[tuple[str, ...]] = [header]

    def add(self, *cells: str) -> None:
        """Append a row; one cell per column."""
        if len(cells) != len(self.rows[0]):
            raise ValueError(f"{len(cells)} cells for {len(self.rows[0])} columns")
        self.rows.append(cells)

    def __str__(self) -> str:
        columns = list(zip(*self.rows, strict=True))
        widths = [max(map(len, column)) for column in columns]
        right = [_numeric(column[1:]) for column in columns]
        lines = [
            "  ".join(
                cell.rjust(width) if to_right else cell.ljust(width)
                for cell, width, to_right in zip(row, widths, right, strict=True)
            ).rstrip()
            for row in self.rows
        ]
        rule = "  ".join("-" * width for width in widths).rstrip()
        return "\n".join([lines[0], rule, *lines[1:]])


def _numeric(cells: tuple[str, ...]) -> bool:
    """Whether a column holds quantities: every filled cell starts with a digit or a sign."""
    filled = [cell for cell in cells if cell]
    return bool(filled) and all(cell[0].isdigit() or cell[0] in "-+" for cell in filled)


def bytes_text(count: int) -> str:
    """`1.5 KiB`, `411 MiB`."""
    power = min(max(count.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    size = count / 1024**power
    digits = f"{size:.0f}" if power == 0 or size >= 100 else f"{size:.3g}"
    return f"{digits} {_UNITS[power]}"


def seconds_text(seconds: float) -> str:
    """`1.23 us`, `45.6 ms`, `2.00 s`."""
    for unit, scale in (("us", 1e-6), ("ms", 1e-3)):
        if seconds < 1000 * scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds:.2f} s"
