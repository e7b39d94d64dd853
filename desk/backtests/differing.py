"""Where two results part: the first trade that is not the same in both, as their files tell it.  Pure.

A backtest keeps its trades, not its decisions; the hash of all decisions (`signals_hash`) says whether those were the
same.  Called by the page that compares.
"""

from typing import NamedTuple

import polars as pl

COLUMNS = (
    "entry_time", "exit_time", "contract", "direction", "contracts", "entry_price", "exit_price", "stop_price",
    "target_price", "exit_reason", "commission", "net_pnl",
)  # fmt: skip


class Parting(NamedTuple):
    """`same`: trades before it, equal in both; `names`: the columns that differ, empty when one result has no more
    trades; `ours`, `theirs`: the two trades, None where there is none; `at`: the earlier entry, ISO text."""

    same: int
    names: list[str]
    ours: dict[str, str] | None
    theirs: dict[str, str] | None
    at: str


def parting(ours: pl.DataFrame, theirs: pl.DataFrame) -> Parting | None:
    """The first difference of two lists of trades; None when both are the same to the last byte of COLUMNS."""
    left, right = ours.select(COLUMNS), theirs.select(COLUMNS)
    n = min(len(left), len(right))
    unlike = pl.Series("unlike", [False] * n, dtype=pl.Boolean)
    for name in COLUMNS:
        unlike |= (left[name][:n] != right[name][:n]).fill_null(False)  # two empty cells are the same
        unlike |= left[name][:n].is_null() != right[name][:n].is_null()
    found = unlike.arg_true()
    if not len(found) and len(left) == len(right):
        return None
    k = int(found[0]) if len(found) else n
    one = left.row(k, named=True) if k < len(left) else None
    other = right.row(k, named=True) if k < len(right) else None
    names = [name for name in COLUMNS if one and other and one[name] != other[name]]
    return Parting(k, names, one, other, min(row["entry_time"] for row in (one, other) if row is not None))
