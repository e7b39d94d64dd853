"""Which session a new one continues, and what it opens with: an account is one, however many sessions it has (issue 4).

Money and limits belong to the account, so neither another profile nor another version gives a fresh budget.  The
simulated market stands for a live one: its sessions follow each other as they were started.  Recorded days are a world
of their own in the same account: a replay continues the last one that closed before it begins, so a day that is played
again begins as it began.  Called by `services` at a start and by pre-flight before it; nothing is written here.
"""

from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy

from marketdata.core.records import NO_TIME
from marketdata.core.units import MICROS
from risk.core.holds import BY_BIT, BY_MODEL_RELOAD, BY_TIME, BY_TRADING_DAY, HOLDS
from risk.core.records import MES
from trading.control import session_folder
from trading.core import states
from trading.models import Account, Session
from trading.run.clock import CLOCK_FILE
from trading.run.journal.closing import ClosingUnknown, past_of, read_closing
from trading.run.journal.segment import fences
from trading.run.spec import PastSpec, SessionSpec

SIMULATED = "simulated"
LOST = (  # figures that a session cannot name when nobody can read its past
    lazy("nothing is entered until a person states the figures: manage.py sessions state")
)


class AccountBusy(ValueError):
    """Another session of the account is not over: what it leaves is not known yet."""


def sessions_of(account: Account, spec: SessionSpec, own: int = 0) -> "QuerySet[Session]":
    """Sessions of the same account and world that were started, the latest first, but the one with the number `own`."""
    rows = Session.objects.filter(account=account, mode=spec.mode, started_at__isnull=False).exclude(id=own)
    rows = rows.order_by("-started_at", "-id")
    if spec.feed.name == SIMULATED:
        return rows.filter(spec__feed__name=SIMULATED)
    return rows.exclude(spec__feed__name=SIMULATED)


def newest(account: Account, spec: SessionSpec, own: int) -> tuple[int | None, str]:
    """(number of the newest session of the world, its status): what a start looks at again under its lock."""
    row = sessions_of(account, spec, own).values_list("id", "status").first()
    return (None, "") if row is None else row


def find_past(account: Account, spec: SessionSpec, own: int = 0) -> PastSpec | None:
    """What a session of this spec would open with; None for the first of its account and world.  `own`: its number.

    Raises AccountBusy while another one trades the account.  What cannot be read comes back with its fault.
    """
    if account.pk is None:
        return None
    simulated = spec.feed.name == SIMULATED
    rules = int(spec.limits.get("rules", MES))
    for row in sessions_of(account, spec, own):
        if row.status not in states.SESSION_OVER:
            if simulated:
                raise AccountBusy(
                    _("session %(key)s of account %(account)s is %(status)s: one account trades in one session")
                    % {"key": row.key, "account": account.name, "status": row.status}
                )
            continue  # a recording that still plays is nobody's past yet
        if _never_ran(row) or (not simulated and int(row.spec.get("created_ns", 0)) >= spec.created_ns):
            continue
        try:
            closing = read_closing(session_folder(row.id), row.id)
            if not simulated and closing.now_ns > spec.created_ns:
                continue
            return past_of(closing, rules, spec.created_ns)
        except ClosingUnknown as error:
            return PastSpec(session=row.id, fault=str(error))
    return None


def _never_ran(row: Session) -> bool:
    """It failed before its kernel was: it had no clock and left no frame, so it never knew the account."""
    folder = session_folder(row.id)
    untouched = not (folder / CLOCK_FILE).exists() and not (folder.is_dir() and fences(folder))
    return row.status == states.FAILED and row.journal_seq == 0 and untouched


# in words


def figures_of(past: PastSpec, spec: SessionSpec) -> dict[str, Any]:
    """What a page shows of a past: source, balance, day against its limit, fall from the peak, holds with their end."""
    rules = int(spec.limits.get("rules", MES))
    figures = past.figures
    values: dict[str, Any] = {"session": past.session, "seq": past.seq, "hash": past.state_sha256, "fault": past.fault}
    values["holds"] = [hold_words(rules, held.code, held.until_ns) for held in past.holds]
    if past.fault:
        values["holds"] = [{"code": "STATE_UNREADABLE", "ends": str(LOST), "until_us": None}]
    if figures:
        values |= {name: figures[name] for name in ("balance_micros", "day_net_micros", "streak", "trading_day")}
        values["fallen_micros"] = figures["peak_micros"] - figures["balance_micros"]
        values["day_limit_micros"] = spec.limits.get("loss_day_micros_max")
        values["fallen_limit_micros"] = spec.limits.get("drawdown_micros_max")
        values["day_left_micros"] = max(0, (values["day_limit_micros"] or 0) + min(0, figures["day_net_micros"]))
    return values


def money_words(micros: int) -> str:
    """Money to the hundredth, with a true minus."""
    return f"{Decimal(micros) / MICROS:,.2f}".replace("-", "−")


def hold_words(rules: int, code: str, until_ns: int) -> dict[str, Any]:
    """One inherited hold: its code and what ends it."""
    hold = next((row for row in HOLDS[rules] if row.code == code), None)
    clearing = None if hold is None else BY_BIT[rules][hold.bit].clearing
    until_us = None if until_ns == NO_TIME or clearing != BY_TIME else until_ns // 1000
    ends = {
        BY_TIME: _("ends by the session's clock"),
        BY_TRADING_DAY: _("ends when the trading day rolls"),
        BY_MODEL_RELOAD: _("ends when a verified network is loaded"),
    }.get(clearing or 0, _("ends when a person lifts it"))
    return {"code": code, "ends": ends, "until_us": until_us}


def in_words(past: PastSpec | None, spec: SessionSpec) -> str:
    """One line: "continues session 41: day −212.50 of −500.00 USD, 2 holds: DAILY_LOSS (…)"."""
    if past is None:
        return _("the first session of this account here: %(capital)s %(currency)s") % {
            "capital": money_words(spec.limits.get("capital_micros", spec.capital_micros)),
            "currency": spec.currency,
        }
    shown = figures_of(past, spec)
    words = {"session": past.session, "currency": spec.currency, "fault": past.fault}
    holds = "; ".join(f"{row['code']} {row['ends']}" for row in shown["holds"])
    if past.fault:
        return _("session %(session)s cannot be continued (%(fault)s)") % words + f": {holds}"
    words |= {
        "balance": money_words(shown["balance_micros"]),
        "day": money_words(shown["day_net_micros"]),
        "limit": money_words(-(shown["day_limit_micros"] or 0)),
        "count": len(shown["holds"]),
    }
    line = _("continues session %(session)s: balance %(balance)s, day %(day)s of %(limit)s %(currency)s")
    return line % words + (_(", %(count)d holds: ") % words + holds if holds else _(", no holds"))
