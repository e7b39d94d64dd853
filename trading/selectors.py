"""Reading: what pages, commands and the admin show.  Plain values, newest first, in pages; nothing is written here.

`desk_snapshot` is the picture from database rows, for the time when Redis is away; it says so.  Keys of rows follow the
live picture of `trading.run.bodies.snapshot`, so that a page draws both alike.
"""

from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Case, F, Sum, Value, When
from django.db.models.query import QuerySet

from risk.core.gate import code_name
from risk.core.holds import CLEARINGS, EFFECTS, HOLDS, LABELS, RESET_MASK, RESUME_MASK, hold_of
from risk.core.records import MOEX
from trading.core import orders as life
from trading.core import states
from trading.core.records import ORDER_TYPES, ROLES
from trading.leases import age_s, lease_name
from trading.models import Account, Command, ConfigVersion, Decision, Fill, HoldEvent, LoopLease, Order, Session, Trade
from trading.reports.held import HEDGES, about, account_label
from trading.run.clock import boot_id, boot_ns
from trading.run.loops import TTL_S

PAGE = 50
ROWS = 50


class Page(NamedTuple):
    """One page of rows.  `next_before` continues it; None at the end."""

    rows: list[dict[str, Any]]
    next_before: int | None


def _page(rows: "QuerySet[Any]", before: int | None, limit: int, make: Any, key: str = "id") -> Page:
    if before is not None:
        rows = rows.filter(**{f"{key}__lt": before})
    found = list(rows.order_by(f"-{key}")[: limit + 1])
    more = len(found) > limit
    found = found[:limit]
    return Page([make(row) for row in found], getattr(found[-1], key) if more else None)


def us(ns: int | None) -> int | None:
    """ns → µs."""
    return None if ns is None else ns // 1000


# sessions, accounts, versions


def _session(row: Session) -> dict[str, Any]:
    spec = row.spec or {}
    return {
        "id": row.id,
        "key": row.key,
        "status": row.status,
        "mode": row.mode,
        "profile": spec.get("profile", ""),
        "version": str(row.version),
        "account": row.account.name,
        "currency": spec.get("currency", ""),
        "symbols": [item["symbol"] for item in spec.get("instruments", [])],
        "feed": spec.get("feed", {}).get("name", ""),
        "scorer": spec.get("scorer", {}).get("name", ""),
        "rules": row.rules,
        "balance_micros": row.balance_micros,
        "reason": row.reason,
        "created_by": row.created_by,
        "started_by": row.started_by,
        "created_at": row.created_at.isoformat(),
        "started_at": row.started_at.isoformat() if row.started_at else None,
        "ended_at": row.ended_at.isoformat() if row.ended_at else None,
    }


def session_list(before: int | None = None, limit: int = PAGE) -> Page:
    """Sessions, newest first."""
    return _page(Session.objects.select_related("account", "version"), before, limit, _session)


def session_count() -> int:
    """How many sessions there are in all."""
    return Session.objects.count()


def session_summary(session_id: int) -> dict[str, Any]:
    """Net result and counts of a session: sums of its trades and fills, exactly."""
    every = Trade.objects.filter(session_id=session_id)
    money = every.aggregate(net=Sum("net_micros"), gross=Sum("gross_micros"))
    trades = every.exclude(symbol__in=HEDGES)  # a hedge is money, no trade (MOEX-HEDGE-05)
    fills = Fill.objects.filter(session_id=session_id)
    return {
        "net_micros": money["net"],
        "gross_micros": money["gross"],
        "fee_micros": fills.aggregate(fees=Sum("fee_micros"))["fees"],
        "trades": trades.count(),
        "won": trades.filter(net_micros__gt=0).count(),
        "lost": trades.filter(net_micros__lt=0).count(),
        "orders": Order.objects.filter(session_id=session_id).count(),
        "fills": fills.count(),
        "decisions": Decision.objects.filter(session_id=session_id).aggregate(n=Sum("same"))["n"] or 0,
    }


def session_row(session_id: int) -> dict[str, Any]:
    """One session.  Raises Session.DoesNotExist."""
    return _session(Session.objects.select_related("account", "version").get(id=session_id))


def rulebook_of(session_id: int) -> int:
    """Whose rules hold in a session: the first index of every table that differs by venue."""
    return Session.objects.only("spec").get(id=session_id).rules


def running_sessions() -> list[dict[str, Any]]:
    """Sessions that are not over, newest first."""
    rows = Session.objects.select_related("account", "version").exclude(status__in=states.SESSION_OVER)
    return [_session(row) for row in rows.order_by("-id")]


def accounts() -> list[dict[str, Any]]:
    """All accounts by name."""
    names = ("id", "name", "venue", "currency", "mode", "balance_micros")
    return list(Account.objects.order_by("name").values(*names))


def active_versions() -> list[dict[str, Any]]:
    """The active version of each profile."""
    rows = ConfigVersion.objects.filter(status=states.ACTIVE).order_by("profile")
    return [dict(row) for row in rows.values("id", "profile", "number", "hash", "activated_at")]


# ledger


def order_values(row: Order) -> dict[str, Any]:
    return {
        "seq": row.seq,
        "oid": row.number,
        "inst": row.instrument,
        "symbol": row.symbol,
        "side": row.side,
        "status": life.STATUSES[row.status],
        "request": life.REQUESTS[row.request],
        "role": ROLES[row.role],
        "type": ORDER_TYPES[row.order_type],
        "qty": row.qty,
        "filled": row.filled,
        "limit_tick": row.price_tick,
        "stop_tick": row.stop_tick,
        "code": row.code,
        "version_id": row.version_id,
        "scorer": row.scorer,
        "by": row.by,
        "sent_us": us(row.sent_ns),
        "live": bool(life.is_open(row.status)),
    }


def fill_values(row: Fill) -> dict[str, Any]:
    return {
        "seq": row.seq,
        "ts_us": us(row.ts_ns),
        "fid": row.venue_ref,
        "oid": row.order_number,
        "inst": row.instrument,
        "symbol": row.symbol,
        "side": row.side,
        "qty": row.qty,
        "tick": row.price_tick,
        "fee_micros": row.fee_micros,
    }


def trade_values(row: Trade) -> dict[str, Any]:
    return {
        "seq": row.seq,
        "ts_us": us(row.closed_ns),
        "inst": row.instrument,
        "symbol": row.symbol,
        "side": row.side,
        "qty": row.qty,
        "entry_tick": row.entry_tick,
        "exit_tick": row.exit_tick,
        "net_micros": row.net_micros,
        "fee_micros": row.fee_micros,
        "code": row.reason,
        "opened_us": us(row.opened_ns),
    }


def decision_values(row: Decision) -> dict[str, Any]:
    return {
        "seq": row.seq,
        "ts_us": us(row.ts_ns),
        "last_us": us(row.last_ns),
        "inst": row.instrument,
        "symbol": row.symbol,
        "side": row.side,
        "code": row.code,
        "name": code_name(row.session.rules, row.code),
        "score_ppm": row.score_ppm,
        "conf_ppm": row.confidence_ppm,
        "same": row.same,
    }


def _command(row: Command) -> dict[str, Any]:
    return {
        "id": row.id,
        "key": str(row.key),
        "cid": row.ref,
        "kind": row.kind,
        "by": row.by,
        "reason": row.reason,
        "state": row.state,
        "detail": row.detail,
        "road": row.road,
        "steps": row.steps,
        "seq": row.seq,
        "at_us": at_us(row.requested_at),
        "accepted_us": at_us(row.accepted_at),
        "finished_us": at_us(row.finished_at),
    }


def at_us(moment: datetime | None) -> int | None:
    """A wall-clock time → µs UTC."""
    return None if moment is None else int(moment.timestamp() * 1_000_000)


def command_values(row: Command) -> dict[str, Any]:
    """One command that a service returned, also one that could not be stored yet."""
    return _command(row)


def hold_values(row: HoldEvent) -> dict[str, Any]:
    hold = hold_of(row.session.rules, row.bit)
    return {
        "seq": row.seq,
        "code": row.code,
        "scope": "account" if row.instrument < 0 else row.instrument,
        "effect": EFFECTS[hold.effect],
        "label": LABELS[hold.label],
        "clearing": CLEARINGS[hold.clearing],
        "detail": hold.trigger,
        "what": about(row),
        "since_us": us(row.raised_ns),
        "until_us": us(row.until_ns),
        "cleared_us": us(row.cleared_ns),
        "source": row.source,
        "value": row.value,
        "limit": row.limit,
    }


def order_list(session_id: int, before: int | None = None, limit: int = PAGE) -> Page:
    """Orders of a session, newest first; `before` is a seq."""
    return _page(Order.objects.filter(session_id=session_id), before, limit, order_values, "seq")


def fill_list(session_id: int, before: int | None = None, limit: int = PAGE) -> Page:
    """Fills of a session, newest first."""
    return _page(Fill.objects.filter(session_id=session_id), before, limit, fill_values, "seq")


def trade_list(session_id: int, before: int | None = None, limit: int = PAGE) -> Page:
    """Round trips of a session, newest first."""
    return _page(Trade.objects.filter(session_id=session_id), before, limit, trade_values, "seq")


def decision_list(session_id: int, before: int | None = None, limit: int = PAGE, code: int | None = None) -> Page:
    """Decisions of a session with their reason, newest first; `code` filters one reason."""
    rows = Decision.objects.filter(session_id=session_id).select_related("session")
    return _page(rows if code is None else rows.filter(code=code), before, limit, decision_values, "seq")


def command_list(session_id: int, before: int | None = None, limit: int = PAGE) -> Page:
    """Commands of a session, newest first."""
    return _page(Command.objects.filter(session_id=session_id), before, limit, _command)


def last_kills(limit: int = 3) -> list[dict[str, Any]]:
    """The latest kills with road, state and steps, newest first."""
    return [_command(row) for row in Command.objects.filter(kind="kill").order_by("-id")[:limit]]


def command_by_key(key: str) -> dict[str, Any]:
    """One command.  Raises Command.DoesNotExist."""
    return _command(Command.objects.get(key=key))


def hold_list(session_id: int, before: int | None = None, limit: int = PAGE) -> Page:
    """Holds of a session, standing or cleared, newest first."""
    rows = HoldEvent.objects.filter(session_id=session_id).select_related("session")
    return _page(rows, before, limit, hold_values, "seq")


def positions(session_id: int) -> list[dict[str, Any]]:
    """Net quantity and fees of each instrument: the sums of the fills, exactly."""
    signed = Case(When(side=1, then=F("qty")), default=Value(-1) * F("qty"))
    rows = Fill.objects.filter(session_id=session_id).values("instrument", "symbol").order_by("instrument")
    return [
        {"inst": row["instrument"], "symbol": row["symbol"], "qty": row["net"], "fee_micros": row["fees"]}
        for row in rows.annotate(net=Sum(signed), fees=Sum("fee_micros"))
    ]


def live_symbols(session_id: int) -> list[str]:
    """Symbols with an order that the venue may still fill, by the ledger."""
    live = [code for code in range(len(life.STATUSES)) if life.is_open(code)]
    rows = Order.objects.filter(session_id=session_id, status__in=live).order_by("symbol")
    return list(rows.values_list("symbol", flat=True).distinct())


def loop_rows(session_id: int | None = None) -> list[dict[str, Any]]:
    """Loops that are wanted or held, with the age of their heartbeat in s (None: no beat since the machine started)."""
    rows = LoopLease.objects.select_related("session").order_by("session_id", "id")
    rows = rows.filter(session_id=session_id) if session_id is not None else rows
    now, boot = boot_ns(), boot_id()
    found = []
    for row in rows:
        if not row.desired and (not row.owner or row.boot_id != boot or row.expires_boot_ns < now):
            continue  # over; a holder that could not say so has let its lease run out
        found.append(
            {
                "id": row.loop,
                "name": lease_name(row.session.key, row.loop),
                "desired": row.desired,
                "owner": row.owner,
                "fence": row.fence,
                "restarts": row.restarts,
                "state": row.state if row.owner else "not running",
                "age_s": age_s(row.boot_id, row.beat_boot_ns),
                "limit_ms": round(TTL_S * 1000),
                "detail": row.detail,
            }
        )
    return found


def standing_holds(session_id: int) -> list[dict[str, Any]]:
    """Holds that stand by the ledger, strongest first."""
    rows = HoldEvent.objects.filter(session_id=session_id, cleared_seq=None).select_related("session")
    return sorted((hold_values(row) for row in rows), key=lambda h: (LABELS.index(h["label"]), h["code"]))


def halt_bits(rules: int) -> dict[str, int]:
    """Halts of a rulebook that a person may lift by name → bit; the kill is not one: `unlock` lifts it."""
    mask = int(RESET_MASK[rules])
    return {hold.code: hold.bit for hold in HOLDS[rules] if mask >> hold.bit & 1 and hold.code != "KILL_SWITCH"}


def named_bits(rules: int) -> dict[str, int]:
    """Holds of shares that a person clears by name alone (MOEX-RISK-06) → bit; `resume` takes the pause, too."""
    mask = int(RESUME_MASK[MOEX]) if rules == MOEX else 0
    return {hold.code: hold.bit for hold in HOLDS[rules] if mask >> hold.bit & 1 and hold.code != "OPERATOR_PAUSE"}


def strip_values(session_id: int) -> dict[str, Any]:
    """What a status strip shows of a session: label, holds, positions, loops."""
    holds = standing_holds(session_id)
    shared = {"positions": positions(session_id), "loops": loop_rows(session_id)}
    return {"label": account_label(holds), "holds": holds, **shared}


def desk_snapshot(session_id: int) -> dict[str, Any]:
    """The picture of one session from database rows alone.  `source` says that it is not the live one."""
    session = session_row(session_id)
    holds = standing_holds(session_id)
    live = [code for code in range(len(life.STATUSES)) if life.is_open(code)]
    orders = Order.objects.filter(session_id=session_id, status__in=live).order_by("-number")[:ROWS]
    return {
        "source": "database",
        "session": session,
        "seq": Session.objects.values_list("journal_seq", flat=True).get(id=session_id),
        "account": {"balance_micros": session["balance_micros"], "label": account_label(holds)},
        "positions": positions(session_id),
        "orders": [order_values(row) for row in orders],
        "holds": holds,
        "loops": loop_rows(session_id),
        "decisions": decision_list(session_id, limit=ROWS).rows[::-1],
        "fills": fill_list(session_id, limit=ROWS).rows[::-1],
        "trades": trade_list(session_id, limit=ROWS).rows[::-1],
        "commands": command_list(session_id, limit=ROWS).rows[::-1],
    }


def sessions_fed_by(file_name: str) -> list[dict[str, Any]]:
    """Sessions whose feed reads a file of this name, newest first.  A stored file's name holds the hash of what it was
    made from, so a runtime folder that was moved finds them, too."""
    rows = Session.objects.filter(spec__feed__path__icontains=file_name).order_by("-id")
    found = []
    for row in rows.select_related("account", "version"):
        parts = row.spec["feed"]["path"].split(",")
        if any(part.rpartition("/")[2] == file_name for part in parts):
            found.append(_session(row))
    return found
