"""The after-session report: result after costs, limits touched, refusals by reason, holds with durations, timeline.

Every figure is a sum over ledger rows, exact in micros; floats appear as shares alone.  Nothing is written.  Called by
the session's page and its CSV files.
"""

from typing import Any

import msgspec
from django.db.models import Avg, Count, F, Max, Min, Q, Sum

from risk.core import codes
from risk.core.codes import APPROVED
from risk.core.gate import RULES, code_name
from risk.core.holds import BIT, HOLDS
from trading.accounts.past import figures_of
from trading.core.protect import CLOSE_REASONS
from trading.models import Decision, HoldEvent, Session, Trade
from trading.reports.held import HEDGES
from trading.run.spec import SessionSpec
from trading.selectors import rulebook_of, session_row, session_summary, us

# The gate's rules that are limits: a refusal by one of them is a limit touched (P-08 … P-20).
LIMIT_CODES = (
    codes.QTY_LIMIT, codes.VALUE_LIMIT, codes.SPREAD, codes.COLLAR, codes.PRICE_MOVE, codes.POSITION_LIMIT,
    codes.MARGIN, codes.RISK_PER_TRADE, codes.RISK_DAILY, codes.DUPLICATE, codes.MESSAGE_RATE, codes.OPEN_ORDERS,
    codes.BALANCE_TIER, codes.RISK_TIER, codes.VENUE_LIMIT, codes.LIMIT_EXPOSURE, codes.LIMIT_INSTRUMENT, codes.RATE,
)  # fmt: skip
# Holds that say that a rule was broken, not that one was kept: a kill or a pause by a person is neither.
BREACHES = (
    "STATE_UNREADABLE", "NAKED_POSITION", "EQUITY_KILL", "DUPLICATE_STORM", "MISMATCH", "DAILY_LOSS", "DAILY_DRAWDOWN",
    "ACCOUNT_DRAWDOWN", "NOT_FLAT_AT_CUTOFF", "ERROR_STORM",
)  # fmt: skip
BREACH_BITS = tuple(BIT[code] for code in BREACHES)  # a bit is one mechanism; its name is the rulebook's
LIMIT_HOLDS = (
    "EQUITY_KILL", "DAILY_LOSS", "DAILY_DRAWDOWN", "ACCOUNT_DRAWDOWN", "LOSS_STREAK", "PRICE_MOVE", "NAKED_POSITION",
)  # fmt: skip
LIMIT_BITS = tuple(BIT[code] for code in LIMIT_HOLDS)
CURVE_POINTS = 240
_RULE = {code: rule for rule in RULES for code in rule.codes}


def report(session_id: int) -> dict[str, Any]:
    """Everything that the top of the session's page shows.  Raises Session.DoesNotExist."""
    session = session_row(session_id)
    stored, stated = Session.objects.values_list("spec", "stated").get(id=session_id)
    stored = stored or {}
    refused = refusals(session_id)
    return {
        "session": session,
        "summary": session_summary(session_id) | _trade_figures(session_id),
        "refusals": refused,
        "limits": limits_touched(session_id, refused),
        "exits": exits(session_id),
        "hedged": hedge_trips(session_id),
        "broken": broken_rules(session_id),
        "verdict": verdict(session, broken_rules(session_id)),
        "past": past_values(stored) if stored.get("past") else None,
        "stated": stated,
        "inputs": stored.get("inputs", {}) | {"feed": stored.get("feed", {}), "scorer": stored.get("scorer", {})},
    }


def past_values(stored: dict[str, Any]) -> dict[str, Any] | None:
    """What the session opened with, by its own spec; None for the first of its account."""
    spec = msgspec.convert(stored, SessionSpec)
    return None if spec.past is None else figures_of(spec.past, spec)


def _trade_figures(session_id: int) -> dict[str, Any]:
    rows = Trade.objects.filter(session_id=session_id)
    sample = ~Q(symbol__in=HEDGES)  # a hedge is money, no trade (MOEX-HEDGE-05)
    found = rows.aggregate(
        best=Max("net_micros", filter=sample),
        worst=Min("net_micros", filter=sample),
        fees=Sum("fee_micros"),
        held_ns=Avg(F("closed_ns") - F("opened_ns"), filter=sample),
        first_ns=Min("opened_ns"),
        last_ns=Max("closed_ns"),
    )
    drawdown, peak, total = 0, 0, 0
    for net in rows.order_by("seq").values_list("net_micros", flat=True).iterator():
        total += net
        peak = max(peak, total)
        drawdown = max(drawdown, peak - total)
    return {
        "best_micros": found["best"],
        "worst_micros": found["worst"],
        "trade_fee_micros": found["fees"],  # gross − these = net; the fills' sum holds what is still open, too
        "held_us": None if found["held_ns"] is None else int(found["held_ns"]) // 1000,
        "first_us": us(found["first_ns"]),
        "last_us": us(found["last_ns"]),
        "drawdown_micros": drawdown,
    }


def refusals(session_id: int) -> list[dict[str, Any]]:
    """Decisions by reason, the most frequent first; APPROVED is not among them.  Σ with the taken = all decisions."""
    rows = Decision.objects.filter(session_id=session_id).values("code").annotate(count=Sum("same"))
    total = sum(row["count"] for row in rows)
    rules = rulebook_of(session_id)
    found = []
    for row in sorted(rows, key=lambda row: (-row["count"], row["code"])):
        if row["code"] == APPROVED:
            continue
        rule = _RULE.get(row["code"])
        found.append(
            {
                "code": row["code"],
                "name": code_name(rules, row["code"]),
                "control": rule.control if rule else "",
                "text": rule.text if rule else "",
                "count": row["count"],
                "pct": 100 * row["count"] / total,
            }
        )
    return found


def limits_touched(session_id: int, refused: list[dict[str, Any]]) -> dict[str, Any]:
    """Which limits refused something or raised a hold, of how many."""
    names = [row["name"] for row in refused if row["code"] in LIMIT_CODES]
    held = HoldEvent.objects.filter(session_id=session_id, source=0, bit__in=LIMIT_BITS).values_list("code", flat=True)
    names += sorted(set(held) - set(names))
    every = len(LIMIT_CODES) + len(set(LIMIT_HOLDS) - {"PRICE_MOVE"})
    return {"names": names, "touched": len(names), "all": every}


def exits(session_id: int) -> list[dict[str, Any]]:
    """Trades by the reason of their exit: count, net, fees.  A hedge is no trade (MOEX-HEDGE-05)."""
    rows = Trade.objects.filter(session_id=session_id).exclude(symbol__in=HEDGES).values("reason")
    rows = rows.annotate(count=Count("id"), net=Sum("net_micros"), fees=Sum("fee_micros")).order_by("-count")
    return [
        {
            "name": CLOSE_REASONS.get(row["reason"], str(row["reason"])),
            "count": row["count"],
            "net_micros": row["net"],
            "fee_micros": row["fees"],
        }
        for row in rows
    ]


def hedge_trips(session_id: int) -> dict[str, Any] | None:
    """What round trips of hedges came to: money, no trades.  None: there was none."""
    rows = Trade.objects.filter(session_id=session_id, symbol__in=HEDGES)
    found = rows.aggregate(count=Count("id"), net=Sum("net_micros"), fees=Sum("fee_micros"))
    if not found["count"]:
        return None
    return {"count": found["count"], "net_micros": found["net"], "fee_micros": found["fees"]}


def broken_rules(session_id: int) -> list[dict[str, str]]:
    """Holds that stood because a rule was broken: code and words, each once."""
    own = HoldEvent.objects.filter(session_id=session_id, source=0, bit__in=BREACH_BITS)  # not what it was brought
    bits = set(own.values_list("bit", flat=True))
    rows = HOLDS[rulebook_of(session_id)] if bits else ()
    return [{"code": hold.code, "text": hold.trigger} for hold in rows if hold.bit in bits]


def verdict(session: dict[str, Any], broken: list[dict[str, str]]) -> str:
    """kept, broke, failed or running: whether the session kept its rules, as far as its ledger says."""
    if broken:
        return "broke"
    if session["status"] == "failed":
        return "failed"
    return "kept" if session["status"] == "ended" else "running"


def net_curve(session_id: int) -> list[int]:
    """Net result after each trade, from 0 on, thinned to CURVE_POINTS; the last one is always there."""
    total, points = 0, [0]
    for net in Trade.objects.filter(session_id=session_id).order_by("seq").values_list("net_micros", flat=True):
        total += net
        points.append(total)
    step = max(1, -(-len(points) // CURVE_POINTS))
    thinned = points[::step]
    return thinned if thinned[-1] == points[-1] and (len(points) - 1) % step == 0 else [*thinned, points[-1]]
