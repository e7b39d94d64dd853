"""The browser's picture of a session, made from a replica of the kernel's state: small JSON values by name.

Made by the sinks loop, never by the risk loop, and never re-derived by the page.  Times in µs, money in micros, prices
in ticks; what is not known is null, never 0.  Nothing in here reads Redis, a database or a clock.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from marketdata.core import records as market
from marketdata.core.records import DEPTH, NO_TICK, NO_TIME
from marketdata.core.sessions import PHASES
from marketdata.core.units import PPM
from risk.core.exact import share_floor
from risk.core.holds import BIT, CLEARINGS, EFFECTS, HOLDS, LABELS, Hold, label
from risk.core.records import MES, MOEX
from risk.core.shares.hedging import ratio_ppm
from risk.core.shares.liquidity import NO_FORECAST
from trading.core import ledger
from trading.core import orders as life
from trading.core.records import (
    COMMAND,
    COMMANDS,
    DECISION,
    ENTRY,
    FILL,
    HOLD_RAISED,
    ORDER_TYPES,
    RECEIPT,
    RECEIPT_DONE,
    ROLES,
    SCORE,
    STOP_LOSS,
    TARGET,
    TRADE_CLOSED,
)
from trading.core.states import REFUSALS
from trading.core.watch.liquidity import forecasts
from trading.core.watch.told import stages_of
from trading.run.replica import Kernel
from trading.run.spec import SessionSpec

ROWS_KEPT = 50
_LATENCY = BIT["LATENCY"]
# Of an instrument's holds: the account's own row speaks of the roll, LIVE DATA of who is active (half of them are not).
_SPOKEN_OF = (BIT["CONTRACT_ROLL"], BIT["NOT_ACTIVE"])
ORDERS_SHOWN = 60
ACCOUNT_NUMBERS = (
    "balance_micros",
    "equity_micros",
    "realised_micros",
    "fees_micros",
    "day_net_micros",
    "reference_micros",
    "trades",
    "wins",
    "losses",
    "streak",
    "submits",
    "fills",
    "refusals",
    "decisions",
    "stale_answers",
    "version",
)
ACCOUNT_FLAGS = ("trading", "reconciled", "execution_up", "database_up", "stream_ok")


def us(ns: Any) -> int | None:
    """ns → µs; NO_TIME → None."""
    return None if int(ns) == NO_TIME else int(ns) // 1000


def tick(value: Any) -> int | None:
    """A price in ticks; NO_TICK → None."""
    return None if int(value) == NO_TICK else int(value)


class Rows:
    """The last rows of each stream of rows, from journal EVENTs."""

    def __init__(self) -> None:
        self.decisions: deque[dict[str, Any]] = deque(maxlen=ROWS_KEPT)
        self.fills: deque[dict[str, Any]] = deque(maxlen=ROWS_KEPT)
        self.trades: deque[dict[str, Any]] = deque(maxlen=ROWS_KEPT)
        self.commands: deque[dict[str, Any]] = deque(maxlen=ROWS_KEPT)
        self.scores: dict[int, dict[str, Any]] = {}
        self.bars: dict[int, dict[str, Any]] = {}
        self.raised: dict[tuple[int, int], dict[str, Any]] = {}  # (instrument, bit) → what is known of that hold

    def note(self, events: np.ndarray) -> None:
        """Follow EVENTs in order."""
        kinds = events["kind"]
        shown = (kinds == FILL) | (kinds == TRADE_CLOSED) | (kinds == DECISION) | (kinds == COMMAND)
        shown |= (kinds == RECEIPT) | (kinds == SCORE) | (kinds == market.BAR)
        shown |= (kinds == HOLD_RAISED) & (events["instrument"] >= 0)
        for i in np.flatnonzero(shown):
            self._note(events[i])

    def _note(self, e: Any) -> None:
        kind = int(e["kind"])
        row: dict[str, Any] = {"seq": int(e["seq"]), "ts_us": us(e["ts_ns"]), "inst": int(e["instrument"])}
        if kind == FILL:
            row |= {"oid": int(e["order_number"]), "side": int(e["side"]), "qty": int(e["qty"])}
            row |= {"tick": tick(e["price_tick"]), "fee_micros": int(e["fee_micros"]), "fid": int(e["ref"])}
            self.fills.append(row)
        elif kind == DECISION:
            row |= {"side": int(e["side"]), "code": int(e["code"]), "score_ppm": int(e["score_ppm"])}
            row |= {"conf_ppm": int(e["confidence_ppm"]), "value": int(e["value"]), "limit": int(e["volume"])}
            last = self.decisions[-1] if self.decisions else None
            alone = row["code"] == 0 or e["role"] != 0  # an entry, or an override that was used (P-27)
            if last is not None and all(last[k] == row[k] for k in ("inst", "side", "code")) and not alone:
                self.decisions[-1] = row | {"same": last["same"] + 1}  # repeats fold into one row
            else:
                self.decisions.append(row | {"same": 1})
        elif kind == TRADE_CLOSED:
            row |= {"side": int(e["side"]), "qty": int(e["qty"]), "net_micros": int(e["value"]), "code": int(e["code"])}
            row |= {"entry_tick": tick(e["open_tick"]), "exit_tick": tick(e["close_tick"])}
            row |= {"fee_micros": int(e["fee_micros"]), "opened_us": us(e["until_ns"])}
            self.trades.append(row)
        elif kind == COMMAND:
            kind_name = COMMANDS.get(int(e["code"]), str(e["code"]))
            self.commands.append(row | {"cid": int(e["ref"]), "kind": kind_name, "state": "accepted"})
        elif kind == RECEIPT:
            self._receipt(e)
        elif kind == SCORE:
            row |= {"side": int(e["side"]), "score_ppm": int(e["score_ppm"]), "conf_ppm": int(e["confidence_ppm"])}
            self.scores[int(e["instrument"])] = row
        elif kind == market.BAR:
            row |= {"t_us": us(e["ts_venue_ns"]), "o": tick(e["open_tick"]), "h": tick(e["high_tick"])}
            row |= {"l": tick(e["low_tick"]), "c": tick(e["close_tick"]), "v": int(e["volume"])}
            self.bars[int(e["instrument"])] = row
        elif kind == HOLD_RAISED:
            known = {"since_us": us(e["ts_ns"]), "value": tick(e["value"]), "limit": int(e["volume"])}
            self.raised[int(e["instrument"]), int(e["code"])] = known

    def _receipt(self, e: Any) -> None:
        """Done or refused; a second receipt says that the venue refused what the kernel had taken."""
        state = {"state": "done"}
        if e["code"] != RECEIPT_DONE:
            state = {"state": "refused", "why": REFUSALS.get(int(e["qty"]), "")}
        for command in reversed(self.commands):
            if command["cid"] == int(e["ref"]) and command["state"] in ("accepted", "done"):
                command.update(state)
                break


def account_value(kernel: Kernel) -> dict[str, Any]:
    """Money, label and phase of the account."""
    a = kernel.state.account[0]
    value: dict[str, Any] = {name: int(a[name]) for name in ACCOUNT_NUMBERS}
    value |= {name: bool(a[name] == 1) for name in ACCOUNT_FLAGS}
    value |= {
        "latched": bool(a.latched == 1),
        "label": LABELS[label(int(a.rules), int(a.holds))],
        "phase": PHASES[int(a.phase)],
    }
    value |= {"trading_day": int(a.trading_day), "now_us": us(a.now_ns), "recon_us": us(a.recon_ts_ns)}
    value |= {"feed_us": us(a.feed_ts_ns), "feed_gap": bool(a.feed_gap == 1)}
    return value


def holds_value(kernel: Kernel, rows: Rows, symbols: Sequence[str]) -> list[dict[str, Any]]:
    """Every standing hold of the account, strongest first, then those of single instruments."""
    standing = int(kernel.state.account[0].holds)
    table = sorted(HOLDS[int(kernel.state.account[0].rules)], key=lambda h: h.label)
    found = []
    for hold in table:
        if standing >> hold.bit & 1:
            up = kernel.state.holds[hold.bit]
            row = hold_row(hold) | {
                "scope": "account",
                "what": stages_of(int(up.value)) if hold.bit == _LATENCY else "",
            }
            row |= {"since_us": us(up.since_ns), "until_us": us(up.until_ns)}
            found.append(row | {"value": tick(up.value), "limit": int(up.limit)})
    for i, symbol in enumerate(symbols):
        bits = int(kernel.state.positions[i].holds)
        for hold in table:
            if bits >> hold.bit & 1 and hold.bit not in _SPOKEN_OF:
                known = rows.raised.get((i, hold.bit), {"since_us": None, "value": None, "limit": 0})
                found.append(hold_row(hold) | {"scope": i, "what": symbol, "until_us": None} | known)
    return found


def hold_row(hold: Hold) -> dict[str, Any]:
    """What the table says of a hold."""
    row: dict[str, Any] = {"code": hold.code, "effect": EFFECTS[hold.effect], "label": LABELS[hold.label]}
    return row | {"clearing": CLEARINGS[hold.clearing], "detail": hold.trigger}


def orders_value(kernel: Kernel) -> list[dict[str, Any]]:
    """Live orders and the newest ended ones, newest first."""
    orders: Any = kernel.state.orders
    numbers = np.flatnonzero(orders["number"] > 0)
    newest = sorted(numbers, key=lambda i: (not life.is_open(int(orders[i].status)), -int(orders[i].number)))
    return [order_row(orders[i]) for i in newest[:ORDERS_SHOWN]]


def order_row(order: Any) -> dict[str, Any]:
    """One order."""
    row: dict[str, Any] = {"oid": int(order.number), "inst": int(order.instrument), "side": int(order.side)}
    row |= {"status": life.STATUSES[order.status], "request": life.REQUESTS[order.request]}
    row |= {
        "role": ROLES[int(order.role)],
        "type": ORDER_TYPES[int(order.order_type)],
        "qty": int(order.qty),
        "filled": int(order.filled),
    }
    row |= {"limit_tick": tick(order.price_tick), "stop_tick": tick(order.stop_tick), "sent_us": us(order.sent_ns)}
    return row | {"live": bool(life.is_open(int(order.status))), "code": int(order.reason)}


def position_value(kernel: Kernel, i: int, symbol: str) -> dict[str, Any]:
    """One instrument: what is held, what it costs, and what protects it."""
    p = kernel.state.positions[i]
    value: dict[str, Any] = {"symbol": symbol, "qty": int(p.qty), "cost_ticks": int(p.cost_ticks)}
    value |= {"mark_tick": tick(p.mark_tick), "since_us": us(p.opened_ns), "closing": bool(p.closing == 1)}
    tick_value = int(kernel.params.specs[i].tick_value_micros)
    known = p.qty != 0 and p.mark_tick != NO_TICK
    half = int(p.qty) * int(p.mark_half) * tick_value // 2  # of a mid half a tick above the mark
    value["open_micros"] = int(ledger.open_micros(p.qty, p.cost_ticks, p.mark_tick, tick_value)) + half if known else 0
    value |= {"fee_micros": int(p.trade_fee_micros) if p.qty != 0 else 0, "stop": None, "target": None}
    value["broker"] = {"qty": int(p.broker_qty), "agrees": bool(p.broker_qty == p.qty)}
    for order in kernel.state.orders:
        if order.number == 0 or order.instrument != i or not life.is_open(int(order.status)):
            continue
        if order.role in (STOP_LOSS, TARGET):
            at = tick(order.stop_tick if order.role == STOP_LOSS else order.price_tick)
            leg: dict[str, Any] = {"oid": int(order.number), "tick": at, "qty": int(order.qty - order.filled)}
            leg |= {"status": life.STATUSES[order.status], "request": life.REQUESTS[order.request]}
            value["stop" if order.role == STOP_LOSS else "target"] = leg
    if p.qty != 0 and p.net_tick != NO_TICK:  # ours is tested here; what works at the venue stands behind it
        value["stop_tick"] = tick(p.stop_tick)
    return value


def quote_value(kernel: Kernel, i: int) -> dict[str, Any]:
    """The last book top and print of one instrument."""
    p = kernel.state.positions[i]
    value: dict[str, Any] = {"bid": tick(p.bid_tick), "ask": tick(p.ask_tick), "last": tick(p.last_tick)}
    value |= {"bid_qty": int(p.bid_qty), "ask_qty": int(p.ask_qty), "ok": bool(p.book_ok == 1)}
    return value | {"ts_us": us(p.quote_ts_ns), "trade_us": us(p.last_ts_ns), "status": int(p.status)}


def liquidity_values(kernel: Kernel, count: int) -> tuple[list[int | None], int | None]:
    """(forecasts of `count` instruments, their mean), ppm (MOEX-LIQ-01); None: not known, or of futures."""
    a = kernel.state.account[0]
    found = np.full(count, NO_FORECAST, np.int64)
    mean = NO_FORECAST
    if a.rules == MOEX:
        mean = int(forecasts(kernel.state.positions, kernel.params.specs, int(a.now_ns), found))
    return [forecast_value(one) for one in found], forecast_value(mean)


def forecast_value(ppm: Any) -> int | None:
    """A forecast; NO_FORECAST → None."""
    return None if int(ppm) == NO_FORECAST else int(ppm)


def exposure_value(kernel: Kernel) -> dict[str, Any] | None:
    """What shares hold at their last valid mids, and what the hedging task weighs it against (MOEX-HEDGE-01); micros.

    `net` and `gross` are without the hedge, whose own notional is `hedge_micros`.  None: the rulebook hedges nothing.
    """
    a, limits = kernel.state.account[0], kernel.params.limits[0]
    if a.rules != MOEX:
        return None
    net = gross = hedge = lots = 0  # money in half micros: a mid may lie half a tick off the grid
    for i in range(int(a.instruments)):
        p = kernel.state.positions[i]
        qty = int(p.qty)
        twice = -(-2 * abs(int(p.cost_ticks)) // max(1, abs(qty)))
        if p.mark_tick != NO_TICK:
            twice = 2 * int(p.mark_tick) + int(p.mark_half)
        value = qty * twice * int(kernel.params.specs[i].tick_value_micros)
        if kernel.params.specs[i].hedge == 1:
            hedge, lots = hedge + value, lots + qty
        else:
            net, gross = net + value, gross + abs(value)
    capital = max(0, int(a.capital_micros))
    value_of: dict[str, Any] = {"net_micros": _whole(net), "gross_micros": _whole(gross), "hedge_micros": _whole(hedge)}
    value_of |= {"hedge_lots": lots, "capital_micros": capital, "hedging": bool(a.hedge_on == 1)}
    value_of["net_on_micros"] = share_floor(capital, max(0, int(limits.hedge_min_net_ppm)), PPM)
    value_of["ratio_on_ppm"] = int(ratio_ppm(int(limits.instrument_ppm_max)))
    value_of["every_us"] = max(0, int(limits.hedge_every_ns)) // 1000
    return value_of | {"beta_ppm": max(0, int(limits.hedge_beta_ppm))}


def _whole(half_micros: int) -> int:
    """Half micros → micros, rounded up in size."""
    size = (abs(half_micros) + 1) // 2
    return size if half_micros > 0 else -size


def lots_at_worst(kernel: Kernel, instrument: int) -> tuple[int, int]:
    """(lots of one instrument if every working entry of one side filled, its highest limit or 0): as the gate counts
    (P-12, P-13)."""
    more, less, highest = 0, 0, 0
    for order in kernel.state.orders[kernel.state.orders["number"] > 0]:
        if int(order.instrument) == instrument and order.role == ENTRY and life.is_open(int(order.status)):
            left = int(order.qty) - int(order.filled)
            more, less = (more + left, less) if order.side > 0 else (more, less + left)
            highest = max(highest, int(order.price_tick))
    held = int(kernel.state.positions[instrument].qty)
    return max(abs(held + more), abs(held - less)), highest


def gross_at_worst(kernel: Kernel) -> int:
    """Gross exposure with working entries, in micros: what EXPOSURE and the gate measure (MOEX-RISK-04)."""
    gross = 0
    for i in range(int(kernel.state.account[0].instruments)):
        p, (lots, highest) = kernel.state.positions[i], lots_at_worst(kernel, i)
        twice = -(-2 * abs(int(p.cost_ticks)) // max(1, abs(int(p.qty))))
        if p.mark_tick != NO_TICK:
            twice = 2 * int(p.mark_tick) + int(p.mark_half)
        gross += _whole(lots * max(twice, 2 * highest) * int(kernel.params.specs[i].tick_value_micros))
    return gross


def risk_value(kernel: Kernel) -> list[dict[str, Any]]:
    """How far each limit is.  A limit that nobody set has max null: entries are refused (P-07)."""
    a, limits = kernel.state.account[0], kernel.params.limits[0]
    live = kernel.state.orders[kernel.state.orders["number"] > 0]
    open_orders = sum(bool(life.is_open(int(order.status))) for order in live)
    held = max((lots_at_worst(kernel, i)[0] for i in range(int(a.instruments))), default=0)
    lost = int(a.reference_micros - a.equity_micros)
    of_day = int(a.day_base_micros - a.equity_micros) if limits.day_loss_open == 1 else -int(a.day_net_micros)
    gauges = [
        ("loss_day", of_day, limits.loss_day_micros_max, "micros", "P-15"),
        ("loss_total", lost, limits.loss_total_micros_max, "micros", "MES-RISK-11"),
        ("position", held, limits.position_max, "contracts", "P-12"),
        ("orders_open", open_orders, limits.orders_open_max, "orders", "P-20"),
        ("messages_60s", int(a.messages.sum()), limits.messages_60s_max, "messages", "P-17"),
    ]
    if a.rules == MES:
        fallen, of_peak = int(a.peak_micros - a.balance_micros), int(a.day_peak_micros - a.equity_micros)
        gauges.insert(1, ("drawdown_day", of_peak, limits.drawdown_day_micros_max, "micros", "MES-HOLD-DAILY_DRAWDOWN"))
        gauges.insert(2, ("drawdown", fallen, limits.drawdown_micros_max, "micros", "MES-HOLD-ACCOUNT_DRAWDOWN"))
    if (held_now := exposure_value(kernel)) is not None and limits.gross_ppm_max > 0:
        most = share_floor(held_now["capital_micros"], int(limits.gross_ppm_max), PPM)
        gauges.append(("gross", gross_at_worst(kernel), most, "micros", "MOEX-RISK-04"))
    if limits.rvi_max > 0 and a.index_ts_ns != NO_TIME:
        gauges.append(("index", int(a.index_value), limits.rvi_max, "hundredths", "MOEX-RISK-05"))
    if limits.streak_soft > 0:
        gauges.append(("streak", int(a.streak), limits.streak_soft, "trades", "MES-HOLD-LOSS_STREAK"))
    rows: list[dict[str, Any]] = []
    for name, used, maximum, unit, rule in gauges:
        top = tick(maximum)  # UNSET is the same sentinel as NO_TICK
        row: dict[str, Any] = {"id": name, "used": max(0, used), "max": top, "unit": unit, "rule": rule}
        row |= {"left": None if top is None else top - max(0, used)}
        rows.append(row | {"pct": None if top is None or top <= 0 else round(100 * max(0, used) / top, 1)})
    return rows


def book_value(raw: bytes) -> dict[str, Any]:
    """The newest DEPTH record of one instrument as levels [tick, qty], best first."""
    depth = np.frombuffer(raw, DEPTH)[0]
    sides = {}
    for side, ticks, quantities in (("bids", "bid_tick", "bid_qty"), ("asks", "ask_tick", "ask_qty")):
        pairs = zip(depth[ticks].tolist(), depth[quantities].tolist(), strict=True)
        sides[side] = [[t, q] for t, q in pairs if t != NO_TICK]
    return {**sides, "ts_us": us(depth["ts_venue_ns"]), "synced": not depth["flags"] & market.FLAG_INVALID}


def build(
    kernel: Kernel, rows: Rows, spec: SessionSpec, latest: Mapping[str, bytes], health: Mapping[str, bytes], epoch: int
) -> dict[str, Any]:
    """All values of one session by name.  `latest`: raw values of the feed; `health`: JSON of the loops."""
    symbols = [item.symbol for item in spec.instruments]
    values: dict[str, Any] = {"account": account_value(kernel), "holds": holds_value(kernel, rows, symbols)}
    values |= {
        "risk": risk_value(kernel),
        "orders": orders_value(kernel),
        "decisions": list(rows.decisions),
        "fills": list(rows.fills),
    }
    values |= {"trades": list(rows.trades), "commands": list(rows.commands)}
    values |= {"seq": {"seq": kernel.seq, "epoch": epoch, "session": spec.key}}
    loops = [(name.removesuffix(".run"), msgspec.json.decode(text)) for name, text in sorted(health.items())]
    values["loops"] = [{"id": name, **shown} for name, shown in loops]
    each, mean = liquidity_values(kernel, len(spec.instruments))
    values["account"]["liquidity_ppm"] = mean
    if (exposure := exposure_value(kernel)) is not None:
        values["exposure"] = exposure
    for i, item in enumerate(spec.instruments):
        values[f"pos:{i}"] = position_value(kernel, i, item.symbol)
        values[f"quote:{i}"] = quote_value(kernel, i) | {"liquidity_ppm": each[i]}
        if i in rows.scores:
            values[f"score:{i}"] = rows.scores[i]
        if i in rows.bars:
            values[f"bar:{i}"] = rows.bars[i]
        if (raw := latest.get(f"depth:{i}")) is not None:
            values[f"book:{i}"] = book_value(raw)
    return values
