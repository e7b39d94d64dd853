"""Books: a recorded Binance tape through the desk's kernel, rulebook and venue, and through hftbacktest beside it.

The same level changes and trades, the same market orders at the same times, the same latency; fills are compared first,
then events a second of user CPU time.  Both keep the book themselves: the desk its 20 best levels by the code of its
feeds, the peer every level.  What each reads is made before the clock runs.  Called by `manage.py bench`.
"""

import resource
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

import trading
from desk.ops.bench.books import l2
from desk.ops.bench.books.work import LATENCY_NS, LOT, TICK, BookWork, write
from desk.ops.bench.peers.sidebyside import PEERS, PeerFailed, environment, said_by
from desk.ops.bench.table import Row, failed
from marketdata.core.books import deltas
from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.records import BOOK, new_depths, new_events
from marketdata.core.units import NANOS
from trading.config.schema import load_file
from trading.core.records import ENTRY, EXIT, SUBMIT
from trading.run.backtest.plan import Plan
from trading.run.tapes.engine import TapeRun, tape_calendar, tape_plan, woven
from trading.run.tapes.latency import Latency
from trading.run.tapes.scores import score_row

RECORDING = "crypto_l2/binance_usdm_btcusdt_20240808.jsonl.gz"
PROFILE = Path(trading.__file__).parent / "profiles" / "demo-mes.yaml"
PROGRAM = "desk.ops.bench.books.hftbacktest_books"
EVERY_NS = 2 * NANOS  # between decisions; each is held a second and leaves by time
LOTS = 5
ROOM, BOOKS = 4_096, 1_024  # events and books at a time: few enough to stay in the processor's cache
LEVELS = 1 << 14
TAPE = 2_000_000
ROUNDS = 3
MADE = "without the making of 20-level books out of level changes, which the peer's time has"
Chunk = tuple[np.ndarray, np.ndarray, np.ndarray]
FREE = {
    "qty_entry": LOTS,
    "qty_max": LOTS,
    "position_max": LOTS,
    "stop_ticks": 50_000,
    "stop_ticks_max": 50_000,
    "target_ticks": 0,
    "target_ratio_ppm": 0,
    "hold_ns_max": NANOS,
    "spread_ticks_max": 10_000,
    "collar_ticks_max": 100_000,
    "move_ticks_max": 1_000_000,
    "cooldown_entry_ns": 0,
    "cooldown_exit_ns": 0,
    "streak_soft": 0,
    "streak_hard": 0,
    "messages_1s_max": 100_000,
    "messages_60s_max": 1_000_000,
    "capital_micros": 10**12,
    "loss_trade_micros_max": 9 * 10**11,
    "loss_day_micros_max": 9 * 10**11,
    "loss_total_micros_max": 95 * 10**10,
    "drawdown_day_micros_max": 9 * 10**11,
    "drawdown_micros_max": 9 * 10**11,
    "value_micros_max": 10**12,
    "margin_micros_max": 10**12,
}


class Sample(NamedTuple):
    """One run of the desk."""

    user_s: float
    sent: np.ndarray  # SUBMITs at market, EVENT
    paid: np.ndarray  # (m,) float64: average ticks of each; NaN where the data ended first
    last: np.ndarray  # (m,) float64: the same, were the last level all that it was paid


def plan_of_bench() -> Plan:
    """`demo-mes`, every rule active, with limits that a bitcoin does not breach; a lot is a thousandth of one."""
    terms = {"tick_nanos": 100_000_000, "tick_value_micros": 100, "fee_micros": 0, "margin_micros": 0}
    perpetual = replace(INSTRUMENTS["MES"], **terms)  # type: ignore[arg-type]
    made = tape_plan(load_file(PROFILE), perpetual, equity_sample="minute")
    assert set(FREE) <= set(made.limits)
    return replace(made, limits=made.limits | FREE, capital_micros=FREE["capital_micros"])


class Deciding:
    """A decision behind the first book of every other second, buying and selling in turn."""

    def __init__(self) -> None:
        self._slot = -1
        self._side = 1

    def woven(self, events: np.ndarray, depth_of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The next events with what is decided on them."""
        books = np.flatnonzero(events["kind"] == BOOK)
        slots = events["ts_ns"][books] // EVERY_NS
        before = slots[:1] if self._slot < 0 else np.array([self._slot])
        if len(slots) > 0:
            self._slot = int(slots[-1])
        first = books[np.flatnonzero(np.diff(slots, prepend=before) > 0)]
        if len(first) == 0:
            return events, depth_of
        rows = np.concatenate([self._row(int(at_ns)) for at_ns in events["ts_ns"][first]])
        return woven(events, depth_of, first + 1, rows)

    def _row(self, at_ns: int) -> np.ndarray:
        row = score_row(at_ns, at_ns, 0, self._side, self._side * 1_000_000, 1_000_000)
        self._side = -self._side
        return row


def chunks_of(messages: np.ndarray, changes: np.ndarray) -> Iterator[Chunk]:
    """Level changes and trades as EVENTs, DEPTHs and which belongs to which, by the code of the feeds."""
    book, at = deltas.new_l2(1, LEVELS), 0
    while at < len(messages):
        events, depths, depth_of = new_events(ROOM), new_depths(BOOKS), np.full(ROOM, -1, np.int32)
        at, count, _, why = deltas.l2_events(book, messages, changes, at, events, depths, depth_of)
        assert why != deltas.GROW
        yield events[:count], depths, depth_of[:count]
    assert book.state["gaps"][0] == book.state["refused"][0] == 0


def once(plan: Plan, first_ns: int, chunks: Iterable[Chunk], tape: int = 0) -> Sample:
    """The desk's run with the making of its chunks; with `tape` its orders too, and then its time counts nothing."""
    latency = Latency("20 ms", np.array([LATENCY_NS], np.int64))
    run = TapeRun(plan, tape_calendar(plan.instrument, first_ns), latency, first_ns, tape=tape)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    deciding = Deciding()
    for events, depths, depth_of in chunks:
        told, told_depth = deciding.woven(events, depth_of)
        run.feed(told, depths, told_depth)
    run.end()
    user_s = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
    kept = run.tape()
    sent = kept[(kept["kind"] == SUBMIT) & np.isin(kept["role"], (ENTRY, EXIT))]
    fills = run.fills()
    paid, last = np.full(len(sent), np.nan), np.full(len(sent), np.nan)
    for k, number in enumerate(sent["order_number"].tolist()):
        mine = fills[fills["order_number"] == number]
        if mine["qty"].sum() == sent["qty"][k]:
            money = mine["price_tick"] * mine["qty"]
            paid[k], last[k] = money.sum() / mine["qty"].sum(), money[-1] / mine["qty"].sum()
    return Sample(user_s, sent, paid, last)


def ask(python: Path, work: BookWork) -> tuple[float, np.ndarray, str]:
    """(user seconds, average ticks of each order, version) of the peer.  Raises PeerFailed."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "work.npz", Path(folder) / "paid.npy"
        write(source, work)
        said = said_by("hftbacktest", [str(python), "-m", PROGRAM, str(source), str(target)])
        return float(said["user_s"]), np.load(target), str(said["version"])


def compared(orders: Sample, paid: np.ndarray) -> tuple[str, float]:
    """(words, share of equal fills).  An order that the peer fills at several levels in one moment is whole at its
    exchange, but its balance has the last of these fills alone: such a one is told apart."""
    ended = np.isnan(orders.paid)
    same = np.abs(paid - orders.paid) < 0.5 / LOTS
    part = ~same & (np.abs(paid - orders.last) < 0.5 / LOTS)
    count = int((~ended).sum())
    words = f"{int(same.sum())} of {count} market orders; {int(part.sum())} more at several levels, of which the"
    words += f" peer books the last alone; {count - int((same | part).sum())} differ"
    return words, float(same.sum() / max(1, count))


def measure(samples: Path) -> list[Row]:
    """Rows: the desk's events a second, the peer's beside them where it is installed, and how far fills agree."""
    path = samples / RECORDING
    if not path.exists():
        return [Row("book work, no recording", float("nan"), "events/s", note=f"{RECORDING} is not there")]
    columns = l2.columns_of(l2.lines_of(path), TICK, LOT)
    messages, changes = l2.messages_of(columns)
    plan = plan_of_bench()
    first_ns, at_hand = int(messages["ts_ns"][0]), list(chunks_of(messages, changes))
    orders = once(plan, first_ns, at_hand, tape=TAPE)
    whole_s = min(once(plan, first_ns, chunks_of(messages, changes)).user_s for _ in range(ROUNDS))
    fed_s = min(once(plan, first_ns, at_hand).user_s for _ in range(ROUNDS))
    count = len(columns.at_ns)
    ours, fed = count / whole_s, count / fed_s
    note = f"{count:,} level changes and trades in {len(messages):,} messages, profile {plan.config_hash[:12]}"
    peer = next(peer for peer in PEERS if peer.name == "hftbacktest")
    if (python := environment(peer)) is None:
        return [Row("book work, desk", ours, "events/s", note=f"{note}; hftbacktest is not installed")]
    sent = orders.sent
    work = BookWork(*columns[:5], sent["ts_ns"], sent["side"].astype(np.int64), sent["qty"])
    try:
        user_s, paid, version = ask(python, work)
    except PeerFailed as error:
        alone = Row("book work, desk", ours, "events/s", note=note)
        return [alone, failed("book work, hftbacktest", "events/s", str(error))]
    theirs = count / user_s
    told, same = compared(orders, paid)
    return [
        Row("book work, desk", ours, "events/s", theirs, f"hftbacktest {version}", ours / theirs, note, least=True),
        Row("book work, 20 levels at hand", fed, "events/s", None, f"hftbacktest {version}", fed / theirs, MADE),
        Row("book work, same fills", 100 * same, "%", note=told),
    ]
