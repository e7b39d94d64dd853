"""The kernel beside the oracle: one sequence through both, every output and figure of every event compared.

The oracle runs first (its outputs drive the world that answers); the kernel then takes the same events in one compiled
batch, is thrown away and restored from a snapshot wherever the sequence says so, and must say the same.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from marketdata.core.records import EVENT, NO_TICK, NO_TIME
from risk.core import gate
from risk.core.codes import FIELD_BASE, HOLD_BASE
from risk.core.holds import label
from risk.core.records import MES, MOEX
from tests.oracle.rules.desk import Desk
from tests.oracle.rules.facts import OPEN, PASSIVE, Event
from tests.oracle.rules.holds import BITS, LABELS, Rulebook
from tests.oracle.rules.sending import Output
from trading.core import records as r
from trading.core.kernel import run, step
from trading.core.past import PAST_HOLD, PAST_SOURCE
from trading.core.records import Params, State
from trading.run.journal.closing import closing_of, past_of
from trading.run.replica import Kernel
from trading.run.spec import past_events

PACK = Struct("<3q6hi20q")
# the number of a reason, as the oracle calls it, by rulebook
CODES = {
    rules: {
        name if code < HOLD_BASE or code >= FIELD_BASE else f"HOLD:{name}": code
        for code, name in gate.CODE_NAMES[rules].items()
    }
    for rules in (MES, MOEX)
}
COMPARED = (
    r.SUBMIT, r.CANCEL, r.MODIFY, r.QUERY, r.DECISION, r.HOLD_RAISED, r.HOLD_CLEARED, r.TRADE_CLOSED, r.RECEIPT,
    r.CONFIG_ACTIVE,
)  # fmt: skip
ACCOUNT_COLUMNS = (
    "holds", "label", "phase", "trading_day", "trading", "latched", "reconciled", "version", "balance", "realised",
    "fees", "day_net", "reference", "equity", "trades", "wins", "losses", "streak", "next_order", "venue_ref", "orders",
    "peak", "day_peak", "day_base", "capital",
)  # fmt: skip
POSITION_COLUMNS = (
    "qty", "cost", "mark", "stop", "target", "closing", "naked_since", "entry_fill", "exit_fill", "holds", "net",
    "tries", "override", "override_until",
)  # fmt: skip
OF_ACCOUNT, OF_POSITION = len(ACCOUNT_COLUMNS), len(POSITION_COLUMNS)
NOTHING = NO_TICK  # the sentinel of "no price" and "never"

assert PACK.size == EVENT.itemsize and NO_TICK == NO_TIME


def encode(events: Sequence[Event]) -> np.ndarray:
    """Events as the records that the kernel reads."""
    buffer = bytearray(PACK.size * len(events))
    for k, e in enumerate(events):
        price, bid, ask, high, low, close = (
            NOTHING if p is None else p for p in (e.price, e.bid, e.ask, e.high, e.low, e.close)
        )
        PACK.pack_into(
            buffer, k * PACK.size, 0, e.ts, e.venue_ts, e.kind, e.instrument, e.side, e.code, 0, 0, e.flags, e.number,
            e.ref, e.qty, price, bid, ask, e.bid_qty, e.ask_qty, NOTHING, high, low, close, e.volume,
            e.score, e.confidence, e.fee, e.until, e.value, NOTHING, NOTHING,
        )  # fmt: skip
    return np.frombuffer(buffer, EVENT)


@njit(cache=True)
def digest(orders: np.ndarray, used: int) -> int:
    """One number for all open orders: number, status, request, quantities."""
    total = 0
    for k in range(used):
        o = orders[k]
        if o.number > 0 and (o.status == 0 or o.status == 1 or o.status == 5):
            total += o.number * 1_000_003 * (o.status * 5 + o.request + 1) + o.filled * 1_009 + o.qty * 31
    return total


@njit(cache=True)
def figures(state: State, row: np.ndarray) -> None:
    """What is compared after an event, in the order of COLUMNS."""
    a = state.account[0]
    row[0], row[1], row[2], row[3], row[4], row[5] = (
        a.holds,
        label(a.rules, a.holds),
        a.phase,
        a.trading_day,
        a.trading,
        a.latched,
    )
    row[6], row[7], row[8], row[9], row[10] = (
        a.reconciled,
        a.version,
        a.balance_micros,
        a.realised_micros,
        a.fees_micros,
    )
    row[11], row[12], row[13], row[14] = a.day_net_micros, a.reference_micros, a.equity_micros, a.trades
    row[15], row[16], row[17], row[18], row[19] = a.wins, a.losses, a.streak, a.next_order, a.venue_ref
    row[20] = digest(state.orders, a.orders_used)
    row[21], row[22], row[23], row[24] = a.peak_micros, a.day_peak_micros, a.day_base_micros, a.capital_micros
    for k in range((row.shape[0] - OF_ACCOUNT) // OF_POSITION):
        p, at = state.positions[k], OF_ACCOUNT + OF_POSITION * k
        row[at], row[at + 1], row[at + 2], row[at + 3] = p.qty, p.cost_ticks, p.mark_tick, p.stop_tick
        row[at + 4], row[at + 5], row[at + 6] = p.target_tick, p.closing, p.naked_since_ns
        row[at + 7], row[at + 8] = p.entry_fill_ns, p.exit_fill_ns
        row[at + 9], row[at + 10], row[at + 11] = p.holds, p.net_tick, p.exit_tries
        row[at + 12], row[at + 13] = p.override, p.override_until_ns


@njit(cache=True)
def run_batch(
    state: State, params: Params, events: np.ndarray, start: int, stop: int, out: np.ndarray, sent: np.ndarray,
    counts: np.ndarray, rows: np.ndarray, filled: int,
) -> int:  # fmt: skip
    """Events [start, stop) through the kernel: outputs appended to `sent` from `filled` on, figures to `rows`.

    Returns the new fill of `sent`; an event that sends nothing costs no more than its step.
    """
    one = events[:1].copy()
    for k in range(start, stop):
        one[0] = events[k]
        one[0].seq = state.account[0].seq + 1
        n = step(state, params, one, 0, out)
        assert filled + n <= sent.shape[0]
        for j in range(n):
            sent[filled + j] = out[j]
        filled += n
        counts[k] = n
        figures(state, rows[k])
    return filled


class Difference(NamedTuple):
    """The first event at which kernel and oracle disagree."""

    at: int
    what: str
    event: Event
    kernel: Any
    oracle: Any

    def __str__(self) -> str:
        return f"event {self.at} {self.event!r}: {self.what}\n  kernel: {self.kernel}\n  oracle: {self.oracle}"


def oracle_row(d: Desk) -> tuple[int, ...]:
    """The oracle's figures in the order of COLUMNS."""
    holds = 0
    for code in d.holds:
        holds |= 1 << BITS[code]
    orders = 0
    for o in d.orders:
        if o is not None and o.status in OPEN:
            orders += o.number * 1_000_003 * (o.status * 5 + o.request + 1) + o.filled * 1_009 + o.qty * 31
    row = [
        holds, LABELS.index(d.book.label(d.holds)), d.phase, d.trading_day, d.trading, d.latched,
        d.reconciled, d.version, d.balance, d.realised, d.fees, d.day_net, d.reference, d.equity(), d.trades, d.wins,
        d.losses, d.streak, d.next_order, d.venue_ref, orders, d.peak,
        d.day_peak, d.day_base, d.capital,
    ]  # fmt: skip
    for i in d.instruments:
        row += [i.qty, i.cost, i.mark, i.stop, i.target, i.closing, i.naked_since, i.entry_fill, i.exit_fill]  # type: ignore[list-item]
        row += [sum(1 << BITS[code] for code in d.of_instrument(i)), i.net, i.tries]  # type: ignore[list-item]
        row += [CODES[d.book.rules][i.override] if i.override else 0, i.override_until]
    return tuple(NOTHING if value is None else value for value in row)


def oracle_numbers(output: Output, rules: int) -> tuple[int, ...]:
    """An output of the oracle in the kernel's numbers."""
    kind, instrument, side, code, kind_of_order, role, number, qty, price, until, value = output
    if kind in (r.HOLD_RAISED, r.HOLD_CLEARED):
        code, value = BITS[code], 0
    elif kind == r.DECISION:
        code = CODES[rules][code]
    return (
        kind, instrument, side, code, kind_of_order, role, number, qty, NOTHING if price is None else price,
        NOTHING if until is None else until, value,
    )  # fmt: skip


def kernel_numbers(sent: np.ndarray) -> np.ndarray:
    """The kernel's outputs in the same columns; what an output's kind does not speak of is blanked."""
    n = np.empty((len(sent), 11), np.int64)
    kind = sent["kind"]
    order = np.isin(kind, (r.SUBMIT, r.CANCEL, r.MODIFY, r.QUERY))
    hold = np.isin(kind, (r.HOLD_RAISED, r.HOLD_CLEARED))
    decision, closed, version = kind == r.DECISION, kind == r.TRADE_CLOSED, kind == r.CONFIG_ACTIVE
    receipt = kind == r.RECEIPT
    about_order = order & (sent["order_number"] > 0)
    n[:, 0], n[:, 1] = kind, sent["instrument"]
    n[:, 2] = np.where(about_order | decision | closed, sent["side"], 0)
    n[:, 3] = np.where(order | version, 0, sent["code"])
    n[:, 4] = np.where(order, sent["order_type"], 0)
    n[:, 5] = np.where(order | decision, sent["role"], 0)
    n[:, 6] = np.where(version | receipt, sent["ref"], np.where(order | decision, sent["order_number"], 0))
    n[:, 7] = np.where(order | decision | closed | receipt, sent["qty"], 0)
    price = np.where(sent["order_type"] == r.STOP, sent["stop_tick"], sent["price_tick"])
    said_price = np.where(decision, sent["stop_tick"], np.where(closed, sent["price_tick"], NOTHING))
    n[:, 8] = np.where(about_order, price, said_price)
    overridden = np.where(decision & (sent["role"] > 0), sent["bid_qty"], NOTHING)  # by which command (P-27)
    n[:, 9] = np.where(about_order | hold | closed, sent["until_ns"], overridden)
    kept_back = (kind == r.SUBMIT) & (sent["order_type"] == PASSIVE)  # not before (MOEX-ROUTE-04)
    said_value = np.where(decision, sent["fee_micros"], np.where(kept_back, sent["ts_venue_ns"], 0))
    n[:, 10] = np.where(closed | version | receipt, sent["value"], said_value)
    return n


class Batch:
    """Buffers of one comparing process, used for every sequence; of one rulebook, that of `desk`."""

    def __init__(self, events_max: int = 4096, desk: type[Desk] = Desk) -> None:
        self.desk = desk
        self.sent = np.zeros(events_max * 16, EVENT)
        self.counts = np.zeros(events_max, np.int64)
        self.rows = np.zeros((events_max, OF_ACCOUNT + OF_POSITION * desk.count), np.int64)
        self.last = Kernel()  # as the last comparison left it

    def kernel(self, records: np.ndarray, crashes: Sequence[tuple[int, int]]) -> tuple[int, Kernel]:
        """All events through a fresh kernel.  A crash (snapshot, at): the kernel dies after event `at`, the one that
        takes over has the snapshot of `snapshot` and replays the journal after it.  Returns the number of outputs, and
        the last kernel."""
        kernel = Kernel()
        done = filled = 0
        for snapshot_at, crash_at in crashes:
            filled = self._run(kernel, records, done, snapshot_at, filled)
            kept = kernel.snapshot()
            self._run(kernel, records, snapshot_at, crash_at, filled)
            kernel = Kernel.restore(kept)
            done = snapshot_at
        return self._run(kernel, records, done, len(records), filled), kernel

    def _run(self, kernel: Kernel, records: np.ndarray, start: int, stop: int, filled: int) -> int:
        return run_batch(
            kernel.state, kernel.params, records, start, stop, kernel.out, self.sent, self.counts, self.rows, filled
        )


def compare(
    batch: Batch, events: Sequence[Event], said: Sequence[Sequence[Output]], rows: Sequence[tuple[int, ...]],
    crashes: Sequence[tuple[int, int]],
) -> Difference | None:  # fmt: skip
    """The first difference between what the oracle said and what the kernel does; None when they agree."""
    records = encode(events)
    total, last = batch.kernel(records, crashes)
    batch.last = last
    sent = batch.sent[:total]
    counts = batch.counts[: len(events)]
    numbers = kernel_numbers(sent)
    compared = np.isin(numbers[:, 0], COMPARED)
    of_event = np.repeat(np.arange(len(events)), counts)[compared]
    got = in_order(np.column_stack((of_event, numbers[compared])))
    rules = batch.desk.book.rules
    expected = [(k, *oracle_numbers(output, rules)) for k, outputs in enumerate(said) for output in outputs]
    wanted = in_order(np.array(expected, np.int64).reshape(-1, 12))
    figures_of_oracle = np.array(rows, np.int64)
    if np.array_equal(batch.rows[: len(events)], figures_of_oracle) and np.array_equal(wanted, got):
        return _batch_loop(records, last, events)
    return _first(batch, events, wanted, got, figures_of_oracle)


def in_order(rows: np.ndarray) -> np.ndarray:
    """Outputs of one event are a set: sorted, so that two lists of them can be compared."""
    return rows[np.lexsort(rows.T[::-1])]


def told(rows: Sequence[Event]) -> list[tuple[int, int, int]]:
    """PAST rows as (code, figure or bit, value or end), sorted; of the source only its number."""
    said = [(e.code, e.number, e.until if e.code == PAST_HOLD else e.value) for e in rows if e.code != PAST_SOURCE]
    return sorted([(PAST_SOURCE, 0, rows[0].ref), *said])


def heritage(kernel: Kernel, session: int, at: int, rules: int = MES) -> list[tuple[int, int, int]]:
    """The same rows by the product: what this kernel leaves to a session whose clock begins at `at`."""
    rows = past_events(past_of(closing_of(kernel, session, bytes(32)), rules, at), at)
    said = [
        (int(e["code"]), int(e["order_number"]), int(e["until_ns"] if e["code"] == PAST_HOLD else e["value"]))
        for e in rows[1:]
    ]
    return sorted([(PAST_SOURCE, 0, int(rows[0]["ref"])), *said])


def _batch_loop(records: np.ndarray, last: Kernel, events: Sequence[Event]) -> Difference | None:
    """The kernel's own batch loop must end in the same state, byte by byte, as one event at a time."""
    other = Kernel()
    run(other.state, other.params, records, other.out)
    if other.snapshot() == last.snapshot():
        return None
    ones, batched = ({n: int(k.state.account[0][n]) for n in ("seq", "holds", "equity_micros")} for k in (last, other))
    return Difference(len(events) - 1, "batch loop", events[-1], batched, ones)


def _first(
    batch: Batch, events: Sequence[Event], wanted: np.ndarray, got: np.ndarray, expected: np.ndarray
) -> Difference | None:
    """The first event whose outputs differ as a set, or whose figures differ."""
    rows = batch.rows[: len(events)]
    for k, event in enumerate(events):
        theirs, ours = ([tuple(row) for row in side[side[:, 0] == k, 1:].tolist()] for side in (got, wanted))
        if theirs != ours:
            only = [row for row in theirs if row not in ours], [row for row in ours if row not in theirs]
            return Difference(k, "outputs", event, *([named(row, batch.desk.book) for row in side] for side in only))
        if not np.array_equal(rows[k], expected[k]):
            at = np.flatnonzero(rows[k] != expected[k])
            columns = names_of(batch.desk.count)
            figure = [{columns[c]: int(values[k][c]) for c in at} for values in (rows, expected)]
            return Difference(k, "figures", event, *figure)
    return None


def names_of(instruments: int) -> tuple[str, ...]:
    """The names of all figures."""
    return ACCOUNT_COLUMNS + tuple(f"{name}[{k}]" for k in range(instruments) for name in POSITION_COLUMNS)


def named(row: tuple[int, ...], book: Rulebook) -> str:
    """An output in words."""
    kind, instrument, side, code, kind_of_order, role, number, qty, price, until, value = row
    names = {BITS[code]: code for code in book.table}
    what = (
        gate.code_name(book.rules, code)
        if kind == r.DECISION
        else names[code]
        if kind in (r.HOLD_RAISED, r.HOLD_CLEARED)
        else code
    )
    words = f"{r.KIND_NAMES[kind]} i={instrument} side={side} {what} {r.ROLES.get(role, '')} #{number} qty={qty}"
    words += "" if price == NOTHING else f" at {price}"
    return words + ("" if until == NOTHING else f" until {until}") + f" value={value} type={kind_of_order}"
