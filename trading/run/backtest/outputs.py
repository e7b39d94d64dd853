"""`trades.csv`, `equity.csv`, `summary.json` of a backtest, all or none: written beside the folder, then named.

Fixed columns, UTF-8, times ISO-8601 UTC, money exact with six decimals (MES-BT-26).  No value of the machine's clock or
paths is in them: the same inputs give the same bytes.  Called by the command `backtest`.
"""

import csv
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from marketdata.calendars import calendar_identity
from marketdata.core.records import NO_TICK
from marketdata.core.units import NANOS, PPM, text_from_micros, text_from_ticks
from risk.core.holds import LABELS
from trading.core.history.records import CARRY_NS
from trading.run.backtest import summary
from trading.run.backtest.breakeven import break_even
from trading.run.backtest.engine import Result, reason_of
from trading.run.backtest.plan import BacktestError, Calendar, Plan

POINT_BYTES = 750  # of one point of the curve while its line is made: the row, its values as numbers, its text twice
SPARSE_S = 45  # of a length that nobody has told: less session than this to a row, and they are bars of one second
TRADES, EQUITY, SUMMARY = "trades.csv", "equity.csv", "summary.json"
FILLS = "fills.csv"  # of a run over books
TRADE_COLUMNS = (
    "trade_id", "trading_day", "contract", "entry_time", "exit_time", "direction", "entry_price", "exit_price",
    "contracts", "gross_pnl", "commission", "slippage", "net_pnl", "exit_reason", "model_confidence",
    "predicted_class", "stop_price", "target_price", "bars_held", "mfe_ticks", "mae_ticks", "r_multiple",
)  # fmt: skip
EQUITY_COLUMNS = (
    "timestamp", "equity", "balance", "unrealized_pnl", "drawdown", "drawdown_pct", "position_size", "status",
)  # fmt: skip
EQUITY_FIELDS = ("equity_micros", "balance_micros", "peak_micros", "position", "status")


def _times(ts_ns: np.ndarray) -> list[str]:
    words: list[str] = np.datetime_as_string((ts_ns // NANOS).astype("M8[s]"), timezone="UTC").tolist()
    return words


def _day(number: int) -> str:
    return f"{number // 10_000:04d}-{number // 100 % 100:02d}-{number % 100:02d}"


def trades_csv(result: Result, contracts: list[str]) -> str:
    """The trades, one a line."""
    tick_nanos = result.plan.instrument.tick_nanos

    def price(tick: int) -> str:
        return "" if tick == NO_TICK else text_from_ticks(int(tick), tick_nanos)

    rows = result.trades
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(TRADE_COLUMNS)
    entries, exits = _times(rows["entry_ns"]), _times(rows["exit_ns"])
    for k, t in enumerate(rows):
        writer.writerow(
            (
                k + 1,
                _day(int(t.trading_day)),
                contracts[int(t.contract)] if contracts else result.plan.instrument.symbol,
                entries[k],
                exits[k],
                int(t.side),
                price(t.entry_tick),
                price(t.exit_tick),
                int(t.qty),
                text_from_micros(int(t.gross_micros)),
                text_from_micros(int(t.fee_micros)),
                text_from_micros(int(t.slip_micros)),
                text_from_micros(int(t.net_micros)),
                reason_of(t, result.rules),
                f"{int(t.confidence_ppm) / PPM:.6f}",
                int(t.side),
                price(t.stop_tick),
                price(t.target_tick),
                int(t.bars_held),
                int(t.mfe_ticks),
                int(t.mae_ticks),
                f"{int(t.net_micros) / int(t.risk_micros):.6f}",
            )
        )
    return text.getvalue()


def equity_csv(result: Result) -> str:
    """The curve as sampled, one point a line; `day`: the account at each session's close."""
    rows = result.days if result.plan.equity_sample == "day" else result.points
    if not len(rows):
        return ",".join(EQUITY_COLUMNS) + "\n"
    # an account that stands still has the same words minute after minute: each is written once
    changed = np.ones(len(rows), bool)
    changed[1:] = np.any([rows[name][1:] != rows[name][:-1] for name in EQUITY_FIELDS], axis=0)
    columns = [rows[name][changed].tolist() for name in EQUITY_FIELDS]
    words = [_account_words(*values) for values in zip(*columns, strict=True)]
    lines = [",".join(EQUITY_COLUMNS)]
    which = (np.cumsum(changed) - 1).tolist()
    lines += [f"{when},{words[at]}" for when, at in zip(_times(rows["ts_ns"]), which, strict=True)]
    return "\n".join(lines) + "\n"


def _account_words(equity: int, balance: int, peak: int, position: int, status: int) -> str:
    """A point of the curve behind its time."""
    fall = peak - equity
    return (
        f"{text_from_micros(equity)},{text_from_micros(balance)},{text_from_micros(equity - balance)},"
        f"{text_from_micros(fall)},{100 * fall / peak:.6f},{position},{LABELS[status]}"
    )


def curve_bytes(plan: Plan, calendar: Calendar) -> Callable[[int, int], int]:
    """Bytes that the curve takes at its highest, by rows of the source and the length of a bar in ns (0: not told).

    Of bars of one second, rows that are carried over a gap have their points, too (MES-DATA-20, MES-MEM-01).
    """
    seconds = int((calendar.close_ns - calendar.open_ns).sum()) // NANOS

    def of(rows: int, bar_ns: int) -> int:
        on_grid = bar_ns == NANOS or (bar_ns == 0 and seconds < rows * SPARSE_S)
        every = min(rows * (1 + CARRY_NS // NANOS), seconds) if on_grid else rows
        points = {"bar": every, "minute": min(every, seconds // 60 + 1), "day": 1}[plan.equity_sample]
        return (points + len(calendar.sessions)) * POINT_BYTES

    return of


def summary_of(
    result: Result,
    inputs: dict[str, Any],
    outside: int,
    dropped: dict[str, int],
    basis: tuple[str, ...] | None = None,
) -> dict[str, Any]:
    """`summary.json` as values.  `inputs`: hashes and words that name data, decisions and code; `basis`: what fills
    rest on, in sentences (None: on bars)."""
    plan, run = result.plan, result.run
    return {
        "warnings": summary.warnings(result, outside, dropped, basis),
        "run": {
            "config": plan.profile,
            "config_hash": plan.config_hash,
            **inputs,
            "calendar": calendar_identity(),
            "symbol": plan.instrument.symbol,
            "schedule": plan.schedule,
            "slippage_mode": plan.slip_mode,
            "slip_ticks": plan.slip_ticks,
            "limit_fill": plan.limit_fill,
            "equity_sample": plan.equity_sample,
            "seed": None,  # nothing is drawn
        },
        "period": {
            "start": summary.utc(result.first_ns),
            "end": summary.utc(int(run.end_ns)),
            "sessions": len(result.trading_days),
            "bars": int(run.bars),
            "carried": int(run.carried),
            "equity_points": int(run.all_points),
        },
        **summary.metrics(result),
        **summary.account(result),
        "break_even": break_even(plan),
    }


def write(
    folder: Path, result: Result, contracts: list[str], summary_values: dict[str, Any], fills: str | None = None
) -> list[Path]:
    """All files in `folder`, which appears whole or not at all; `fills`: the text of fills.csv, where there is one.

    Raises OSError, BacktestError.
    """
    check_folder(folder, overwrite=True)
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    texts = {
        TRADES: trades_csv(result, contracts),
        EQUITY: equity_csv(result),
        SUMMARY: json.dumps(summary_values, indent=1, ensure_ascii=False) + "\n",
    }
    if fills is not None:
        texts[FILLS] = fills
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        for name, text in texts.items():
            with open(part / name, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        _put_in_place(part, folder, old)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    return [folder / name for name in texts]


def _put_in_place(part: Path, folder: Path, old: Path) -> None:
    """The new folder under its name; what stood there comes back when that fails."""
    if folder.exists():
        os.rename(folder, old)
    try:
        os.rename(part, folder)
    except BaseException:
        if old.exists():
            os.rename(old, folder)
        raise


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Refuse a place that cannot be written, or that holds what is none of ours.  Raises BacktestError."""
    if not folder.parent.is_dir():
        raise BacktestError(f"the folder {folder.parent} does not exist; make it first")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise BacktestError(f"{folder} is a file; --out names a folder")
    names = {path.name for path in folder.iterdir()}
    if strange := sorted(names - {TRADES, EQUITY, SUMMARY, FILLS}):
        raise BacktestError(f"{folder} holds {strange[0]}, which is no result of a backtest; name another folder")
    if names and not overwrite:
        raise BacktestError(f"{folder} holds a result; give --overwrite to replace it")
