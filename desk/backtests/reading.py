"""What the result's files say, for its page: trades, a curve for a picture, groups.  Reading only.

A result whose files are gone or changed is not shown: `fault` says which.  Nothing is computed that a file already
tells; groups are those of `trading.research`.
"""

import hashlib
import json
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from desk.backtests.models import DONE, BacktestRun
from desk.backtests.prices import days_of
from desk.backtests.runs import files_of, folder_of
from marketdata.calendars import MOSCOW, NEW_YORK
from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.units import MICROS, NANOS, micros_from_text
from trading.research.breakdown import WEEKDAYS, wall_hours

ZONES = {"cme": NEW_YORK, "moex": MOSCOW}  # of the calendars: whose hours a market keeps
WIDTH, HEIGHT, FALL_HEIGHT, EDGE = 720, 200, 90, 6
BINS = 31
TEXT = pl.String
KEPT = 32  # results whose sums and lines are remembered, by the hash of their files


class Bin(NamedTuple):
    """Trades whose net lies in [low, high) dollars (the last with its end), as a bar of an SVG."""

    low: float
    high: float
    trades: int
    x: float
    y: float
    width: float
    height: float
    tone: str


class Cell(NamedTuple):
    """One hour of one weekday: net in micros, trades, and how strong its colour is (0 .. 4)."""

    net_micros: int
    trades: int
    strength: int


def fault_of(run: BacktestRun) -> str:
    """Why a result cannot be shown; empty when all of it is there.  The summary is hashed, the others are measured."""
    if run.state != DONE:
        return "there is no result"
    if run.deleted_at is not None:
        return f"{run.deleted_by} deleted its files on {run.deleted_at:%Y-%m-%d %H:%M} UTC"
    for name in files_of(run):
        path = folder_of(run) / name
        size, digest = run.files.get(name, [None, None])
        if not path.is_file():
            return f"its file {name} is gone: run it again, the same inputs give the same bytes"
        if path.stat().st_size != size or (name == "summary.json" and file_hash(path) != digest):
            return f"its file {name} is not the one that was written: it was changed behind the desk's back"
    return ""


def file_hash(path: Path) -> str:
    """sha256, hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def summary_of(run: BacktestRun) -> dict[str, Any]:
    """`summary.json`."""
    found: dict[str, Any] = json.loads((folder_of(run) / "summary.json").read_text(encoding="utf-8"))
    return found


def trades_of(run: BacktestRun) -> pl.DataFrame:
    """`trades.csv`, every column as its text."""
    return pl.read_csv(folder_of(run) / "trades.csv", infer_schema=False)


class Sums(NamedTuple):
    """What all trades come to: how many, their mean net in micros, bars and heat map; UTC days of entries in order; the
    first entry and the last exit, "" without a trade."""

    trades: int
    mean_micros: int | None
    bins: list[Bin]
    heat: list[tuple[str, list[Cell]]]
    days: list[date]
    reach: tuple[str, str]


def sums_of(run: BacktestRun) -> Sums:
    """Of all trades; the last KEPT are remembered, by the hash of the file, so that a page reads what it shows."""
    return _sums(run.files["trades.csv"][1], folder_of(run) / "trades.csv", zone_name(run))


def zone_name(run: BacktestRun) -> str:
    """The zone in which the market of this result writes its times."""
    return ZONES[INSTRUMENTS[run.symbol].venue] if run.symbol in INSTRUMENTS else "UTC"


@lru_cache(maxsize=KEPT)
def _sums(digest: str, path: Path, zone: str) -> Sums:
    trades = pl.read_csv(path, infer_schema=False)
    nets = nets_of(trades)
    reach = (trades["entry_time"][0], trades["exit_time"][-1]) if len(trades) else ("", "")
    days = days_of(trades)
    mean = round(nets.mean()) if len(nets) else None
    return Sums(len(nets), mean, distribution(nets), heat(trades, nets, zone), days, reach)


def page_of(run: BacktestRun, first: int, count: int) -> pl.DataFrame:
    """`count` trades from `first` on; no others are kept in memory."""
    return _scanned(run).slice(first, count).collect()


def trades_on(run: BacktestRun, day: date) -> pl.DataFrame:
    """Trades that were open on a UTC day."""
    begun, ended = (pl.col(name).str.slice(0, 10) for name in ("entry_time", "exit_time"))
    return _scanned(run).filter((begun <= f"{day}") & (ended >= f"{day}")).collect()


def _scanned(run: BacktestRun) -> pl.LazyFrame:
    return pl.scan_csv(folder_of(run) / "trades.csv", infer_schema=False)


def nets_of(trades: pl.DataFrame) -> np.ndarray:
    """(n,) int64 micros."""
    return np.array([micros_from_text(text) for text in trades["net_pnl"].to_list()], np.int64)


class Curve(NamedTuple):
    """Equity by time, (n,) each: int64 seconds UTC, float64 dollars and dollars below the peak."""

    at_s: np.ndarray
    equity: np.ndarray
    fall: np.ndarray


def _curve(path: Path) -> Curve:
    """`equity.csv` as it was sampled; the floats are for a picture alone."""
    kinds = {"timestamp": TEXT, "equity": pl.Float64, "drawdown": pl.Float64}
    found = pl.read_csv(path, columns=list(kinds), schema_overrides=kinds)
    at = found["timestamp"].str.strptime(pl.Datetime("us", "UTC"), "%Y-%m-%dT%H:%M:%SZ").dt.epoch("s")
    return Curve(at.to_numpy().astype(np.int64), found["equity"].to_numpy(), found["drawdown"].to_numpy())


def picture_of(runs: list[BacktestRun], start: float) -> dict[str, Any] | None:
    """`picture` of the curves of these results; the last KEPT are remembered, by the hashes of their files."""
    return _picture(tuple((run.files["equity.csv"][1], folder_of(run) / "equity.csv") for run in runs), start)


@lru_cache(maxsize=KEPT)
def _picture(files: tuple[tuple[str, Path], ...], start: float) -> dict[str, Any] | None:
    return picture([_curve(path) for _digest, path in files], start)


def picture(curves: list[Curve], start: float) -> dict[str, Any] | None:
    """Curves over each other on one scale as lines of an SVG, and the falls of the first; None without points.

    A column of the picture shows the first, lowest, highest and last value of its stretch: no extreme is lost.
    """
    curves = [curve for curve in curves if len(curve.at_s)]
    if not curves:
        return None
    t0, t1 = min(int(c.at_s[0]) for c in curves), max(int(c.at_s[-1]) for c in curves)
    low = min(start, *(float(c.equity.min()) for c in curves))
    high = max(start, *(float(c.equity.max()) for c in curves))
    span, room = (high - low) or 1.0, HEIGHT - 2 * EDGE

    def y(values: np.ndarray) -> np.ndarray:
        return EDGE + room * (high - values) / span

    first, deepest = curves[0], float(curves[0].fall.max()) or 1.0
    fall = line(first.at_s, EDGE + (FALL_HEIGHT - 2 * EDGE) * first.fall / deepest, t0, t1)
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "fall_height": FALL_HEIGHT,
        "lines": [line(c.at_s, y(c.equity), t0, t1) for c in curves],
        "zero": f"{float(y(np.array(start))):.1f}",
        "fall": f"0,{EDGE} {fall} {WIDTH},{EDGE}",
        "low_micros": round(low * MICROS),
        "high_micros": round(high * MICROS),
        "deepest_micros": round(float(first.fall.max()) * MICROS),
        "from_us": t0 * MICROS,
        "to_us": t1 * MICROS,
        "points": sum(len(c.at_s) for c in curves),
    }


def line(at_s: np.ndarray, y: np.ndarray, t0: int, t1: int) -> str:
    """Points of a polyline: four values a column, in the order first, lowest, highest, last."""
    column = (at_s - t0) * (WIDTH - 1) // max(1, t1 - t0)
    begins = np.flatnonzero(np.concatenate([[True], column[1:] != column[:-1]]))
    ends = np.concatenate([begins[1:], [len(y)]]) - 1
    kinds = np.stack([y[begins], np.minimum.reduceat(y, begins), np.maximum.reduceat(y, begins), y[ends]], axis=1)
    points: list[str] = []
    for x, values in zip(column[begins].tolist(), kinds.tolist(), strict=True):
        kept = dict.fromkeys(f"{x},{value:.1f}" for value in values)  # each once, in order
        points += kept
    return " ".join(points)


def distribution(nets: np.ndarray) -> list[Bin]:
    """Net per trade as bars; the middle bin's border lies on zero."""
    if not len(nets):
        return []
    dollars = nets / MICROS
    reach = float(np.abs(dollars).max()) or 1.0
    edges = np.linspace(-reach, reach, BINS)
    counts, _ = np.histogram(dollars, edges)
    width, most = WIDTH / (BINS - 1), int(counts.max())
    found = []
    for k, count in enumerate(counts.tolist()):
        tall = (HEIGHT - EDGE) * count / most
        tone = "up" if edges[k] >= -1e-9 else "down"
        found.append(
            Bin(
                float(edges[k]),
                float(edges[k + 1]),
                count,
                round(k * width + 1, 1),
                round(HEIGHT - tall, 1),
                round(width - 2, 1),
                round(tall, 1),
                tone,
            )
        )
    return found


def heat(trades: pl.DataFrame, nets: np.ndarray, zone: str) -> list[tuple[str, list[Cell]]]:
    """Net and trades by weekday of the trading day and hour of the entry on the wall of `zone`; weekdays with trades
    alone."""
    if not len(nets):
        return []
    weekday = np.array([date.fromisoformat(day).weekday() for day in trades["trading_day"].to_list()], np.int64)
    seconds = trades["entry_time"].str.strptime(pl.Datetime("us", "UTC"), "%Y-%m-%dT%H:%M:%SZ").dt.epoch("s")
    hour = wall_hours(seconds.to_numpy().astype(np.int64) * NANOS, zone)
    cells = np.zeros((7, 24, 2), np.int64)
    np.add.at(cells[:, :, 0], (weekday, hour), nets)
    np.add.at(cells[:, :, 1], (weekday, hour), 1)
    most = int(np.abs(cells[:, :, 0]).max()) or 1
    rows = []
    for number, name in enumerate(WEEKDAYS):
        if cells[number, :, 1].any():
            pairs = cells[number].tolist()
            rows.append((name, [Cell(net, count, -(-4 * abs(net) // most)) for net, count in pairs]))
    return rows
