"""How many rows of a source may be bad before nothing of it may be used (MES-DATA-04): one rule for every reader.

Called by the import, the features of a file and the backtest, after their pass.
"""

from collections.abc import Mapping
from pathlib import Path

from marketdata.core.quality import OFF_SECOND, OUT_OF_RANGE, OUTSIDE_SESSION, VERDICTS

DROPPED_SHARE_MAX = 0.001


def bad_rows(dropped: Mapping[int, int]) -> int:
    """Of the rows left out by verdict those that are bad; repetitions and rows of other contracts are not."""
    counted = (OUTSIDE_SESSION, OUT_OF_RANGE)
    return sum(count for verdict, count in dropped.items() if verdict <= OFF_SECOND or verdict in counted)


def by_reason(dropped: Mapping[int, int]) -> dict[str, int]:
    """Rows left out by their reason in words."""
    return {VERDICTS[verdict]: count for verdict, count in sorted(dropped.items())}


def dropped_fault(path: Path, rows: int, dropped: Mapping[int, int]) -> str:
    """Why a source of `rows` rows may not be used; empty while it may."""
    bad = bad_rows(dropped)
    if bad <= rows * DROPPED_SHARE_MAX:
        return ""
    named = "; ".join(f"{count} rows: {why}" for why, count in by_reason(dropped).items())
    return f"{path}: {bad} of {rows} rows are bad, more than 0.1 % ({named}): is it the right symbol, zone and format?"
