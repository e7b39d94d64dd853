"""What the hedging task of a session did, and what its hedges came to (MOEX-HEDGE-05): rows for the risk page.

The audit log holds one row an adjustment, with the exposure that was weighed and why; lots, prices and fees are the
ledger's.  A hedge's round trip is money and no trade.  Reads only.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db.models import F, Max, Sum

from desk.audit.models import AuditRecord
from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.units import MICROS, NANOS
from trading.core.protect import CLOSE_REASONS
from trading.models import Fill, Trade
from trading.reports.held import HEDGES
from trading.reports.tables import money_text, time_text
from trading.selectors import PAGE, Page, us

ACTIONS = ("hedge", "unhedge", "reduce")
FOR_CAP = "notional_over_cap"
PAGES_MAX = 64  # that are remembered
COLUMNS = (
    "time", "action", "symbol", "side", "lots", "filled", "hedge_lots_before", "hedge_lots_after", "net_before",
    "net_after", "gross", "fees", "reason", "refused_by", "journal_seq",
)  # fmt: skip


class Lots(NamedTuple):
    """One fill of a hedge: journal seq, signed lots, price in ticks, fee in micros."""

    seq: int
    qty: int
    tick: int
    fee_micros: int


# (session key, before) → seq and hash of the log's last row when the page was read, and its rows
_PAGES: dict[tuple[str, int | None], tuple[int, str, list[AuditRecord]]] = {}


def adjustments(session_id: int, key: str, before: int | None = None, limit: int = PAGE) -> Page:
    """What the task did, newest first; `before` is a seq of the audit log, `key` the session's ("s12")."""
    found = _rows(key, before, limit) if limit > PAGE else _read(key, before)[: limit + 1]
    shown = found[:limit]
    fills = hedge_fills(session_id, int(shown[-1].detail["seq"])) if shown else {}
    nexts = {} if before is None else _behind(key, before)  # symbol → journal seq of its next adjustment
    made = []
    for row in shown:
        symbol = row.object.partition(" ")[2]
        made.append(_adjustment(row, symbol, fills.get(symbol), nexts.get(symbol)))
        nexts[symbol] = int(row.detail["seq"])
    return Page(made, found[limit - 1].seq if len(found) > limit else None)


def _rows(key: str, before: int | None, limit: int, after: int = 0) -> list[AuditRecord]:
    """Rows of the audit log with `after` < seq < `before`, newest first, one more than `limit`."""
    rows = AuditRecord.objects.filter(category="order", action__in=ACTIONS, object__startswith=f"{key} ")
    rows = rows.filter(seq__gt=after) if before is None else rows.filter(seq__gt=after, seq__lt=before)
    return list(rows.order_by("-seq")[: limit + 1])


def _read(key: str, before: int | None) -> list[AuditRecord]:
    """One page of them and one more.  A page that is open asks every two seconds, adjustments are few among orders, and
    the log only grows: what this process has walked once it does not walk again, unless its last row is no longer there
    (another database)."""
    head = AuditRecord.objects.order_by("-seq").values_list("seq", "hash").first()
    if head is None:
        return []
    seq, digest, known = _PAGES.get((key, before), (0, "", []))
    if seq and not AuditRecord.objects.filter(seq=seq, hash=digest).exists():
        seq, known = 0, []
    end = head[0] + 1 if before is None else min(before, head[0] + 1)  # rows behind the head wait for the next question
    fresh = _rows(key, end, PAGE, seq) if seq + 1 < end else []
    if len(_PAGES) >= PAGES_MAX:
        _PAGES.clear()
    found = [*fresh, *known][: PAGE + 1]
    _PAGES[key, before] = (*head, found)
    return found


def _behind(key: str, seq: int) -> dict[str, int]:
    """Symbol of a hedge → journal seq of its first adjustment from row `seq` of the audit log on."""
    found = {}
    for symbol in HEDGES:
        rows = AuditRecord.objects.filter(category="order", action__in=ACTIONS, object=f"{key} {symbol}", seq__gte=seq)
        if (row := rows.order_by("seq").first()) is not None:
            found[symbol] = int(row.detail["seq"])
    return found


def hedge_fills(session_id: int, since: int = 0) -> dict[str, list[Lots]]:
    """Symbol of a hedge → its fills in the journal's order.  Those up to `since`, a journal seq, are one: all their
    lots at the last one's place and price, without fees."""
    of_hedges = Fill.objects.filter(session_id=session_id, symbol__in=HEDGES)
    found: dict[str, list[Lots]] = {}
    for row in (
        of_hedges.filter(seq__lte=since).values("symbol").annotate(lots=Sum(F("side") * F("qty")), last=Max("seq"))
    ):
        last = Fill.objects.get(session_id=session_id, seq=row["last"])
        found[last.symbol] = [Lots(last.seq, int(row["lots"]), last.price_tick, 0)]
    for fill in of_hedges.filter(seq__gt=since).order_by("seq"):
        lots = Lots(fill.seq, fill.side * fill.qty, fill.price_tick, fill.fee_micros)
        found.setdefault(fill.symbol, []).append(lots)
    return found


def _adjustment(row: AuditRecord, symbol: str, fills: Sequence[Lots] | None, until: int | None) -> dict[str, Any]:
    """One row.  `until`: journal seq of the symbol's next adjustment; None: there is none, or not on this page."""
    told = row.detail
    size, of, reason = int(told["size_micros"]), int(told["of_micros"]), str(told["reason"])
    by_cap = reason == FOR_CAP
    values = {
        "audit": row.seq,
        "seq": int(told["seq"]),
        "ts_us": us(int(told["session_ns"])),
        "action": row.action,
        "symbol": symbol,
        "side": int(told["side"]),
        "qty": int(told["qty"]),
        "filled": None,
        "before": None,
        "after": None,
        "net_micros": None if by_cap else size,  # signed, of the shares alone
        "gross_micros": None if by_cap else of,
        "held_micros": size if by_cap else None,
        "cap_micros": of if by_cap else None,
        "pct": round(100 * abs(size) / of, 1) if of else None,
        "with_before": None,
        "with_after": None,
        "fee_micros": None,
        "reason": reason,
        "refused": told.get("refused", ""),
    }
    if symbol not in HEDGES or by_cap:
        return values
    return values | _hedged(values, fills or (), until)


def _hedged(values: dict[str, Any], fills: Sequence[Lots], until: int | None) -> dict[str, Any]:
    """What an adjustment of the hedge itself did: its fills, and net exposure with the hedge at their price."""
    earlier = [fill for fill in fills if fill.seq <= values["seq"]]
    own: list[Lots] = []
    left = 0 if values["refused"] else values["side"] * values["qty"]
    for fill in fills:
        inside = fill.seq > values["seq"] and (until is None or fill.seq < until)
        if inside and 0 < fill.qty * left <= left * left:  # the same side, and no more than was asked
            own.append(fill)
            left -= fill.qty
    before = sum(fill.qty for fill in earlier)
    after = before + sum(fill.qty for fill in own)
    near = own or [fill for fill in earlier[-1:] if fill.qty]  # 0: what was held before is flat
    found = {"filled": sum(abs(fill.qty) for fill in own), "before": before, "after": after}
    found["fee_micros"] = sum(fill.fee_micros for fill in own)
    if near:
        lots = sum(abs(fill.qty) for fill in near)
        notional = sum(abs(fill.qty) * fill.tick for fill in near) * INSTRUMENTS[values["symbol"]].tick_value_micros
        found["with_before"] = values["net_micros"] + before * notional // lots
        found["with_after"] = values["net_micros"] + after * notional // lots
    elif before == 0:
        found["with_before"] = found["with_after"] = values["net_micros"]
    return found


def trips(session_id: int) -> list[dict[str, Any]]:
    """The last round trips of hedges, newest first: side, lots, prices, result, and what ended each."""
    rows = Trade.objects.filter(session_id=session_id, symbol__in=HEDGES).order_by("-seq")[:PAGE]
    return [
        {
            "seq": row.seq,
            "symbol": row.symbol,
            "side": row.side,
            "qty": row.qty,
            "entry_tick": row.entry_tick,
            "exit_tick": row.exit_tick,
            "opened_us": us(row.opened_ns),
            "ts_us": us(row.closed_ns),
            "fee_micros": row.fee_micros,
            "net_micros": row.net_micros,
            "end": CLOSE_REASONS.get(row.reason, str(row.reason)),
        }
        for row in rows
    ]


def table(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Adjustments as text for a file, the heading first; money exact, times in ISO 8601."""
    made = [list(COLUMNS)]
    for row in rows:
        lots = [row[name] for name in ("filled", "before", "after")]
        money = [row[name] for name in ("with_before", "with_after", "gross_micros", "fee_micros")]
        made.append(
            [time_text(row["ts_us"] * NANOS // MICROS), row["action"], row["symbol"], str(row["side"]), str(row["qty"])]
            + ["" if value is None else str(value) for value in lots]
            + [money_text(micros) for micros in money]
            + [row["reason"], row["refused"], str(row["seq"])]
        )
    return made
