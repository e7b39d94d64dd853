"""Which session a new one continues, and what it opens with: an account is one, however many sessions it has (issue 4).

Money and limits belong to the account, so neither another profile nor another version gives it a fresh budget.  The
simulated market stands for a live one: its sessions follow each other as they were started, each on the trading day
after the last.  A recording is a rehearsal: it begins fresh, so the same tape gives the same session whatever was
played before.  Called by `services` at a start and by pre-flight before it; nothing is written here.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
from django.conf import settings
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy

from marketdata.calendars import DAY_NS, CalendarError, windows
from marketdata.core.sessions import NORMAL, REDUCED
from marketdata.core.units import MICROS, NANOS
from marketdata.feeds.simulated import START_NS
from risk.core.holds import BIT, BY_BIT, BY_MODEL_RELOAD, BY_TIME, BY_TRADING_DAY, HOLDS
from risk.core.records import MES
from risk.core.sizing import share
from trading.configs import Profile
from trading.control import session_folder
from trading.core import states
from trading.models import Account, Session
from trading.run.clock import CLOCK_FILE
from trading.run.journal.closing import (
    Closing,
    ClosingBusy,
    ClosingLong,
    ClosingUnknown,
    Patience,
    past_of,
    read_closing,
)
from trading.run.journal.segment import fences
from trading.run.spec import FeedSpec, PastSpec, SessionSpec

SIMULATED, RECORDED = "simulated", "replay"
AHEAD_DAYS = 15  # how far the next day that trades is looked for
FRAMES_MAX = 100_000  # of a journal that a start reads again, a second or two; five snapshots lie within
LOST = (  # figures that a session cannot name when nobody can read its past
    lazy(
        "nothing is entered until a person states the figures: manage.py sessions state, with the new session's number"
    )
)


class AccountBusy(ValueError):
    """Another session of the account is not over: what it leaves is not known yet."""


class PastBusy(AccountBusy):
    """What the last session left cannot be read in this moment: a start then waits, it never opens with less."""


def sessions_of(account: Account, mode: str, own: int = 0) -> "QuerySet[Session]":
    """Sessions of an account that were started and were no recordings, the latest first, but the one numbered `own`."""
    rows = Session.objects.filter(account=account, mode=mode, started_at__isnull=False)
    return rows.exclude(id=own).exclude(spec__feed__name=RECORDED).order_by("-started_at", "-id")


def newest(account: Account, spec: SessionSpec, own: int) -> tuple[int | None, str]:
    """(number of the account's newest session, its status): what a start looks at again under its lock."""
    if spec.feed.name == RECORDED:
        return (None, "")
    row = sessions_of(account, spec.mode, own).values_list("id", "status").first()
    return (None, "") if row is None else row


def find_past(account: Account, spec: SessionSpec, own: int = 0) -> PastSpec | None:
    """What a session of this spec would open with; None for the first of its account and for a recording.

    `own`: its number.  Raises AccountBusy while another one trades the account, PastBusy while its past cannot be read.
    What nobody can ever read comes back with its fault.
    """
    if account.pk is None or spec.feed.name == RECORDED:
        return None
    rows = sessions_of(account, spec.mode, own)
    busy = next((row for row in rows if row.status not in states.SESSION_OVER), None)
    if busy is not None:
        words = {"key": busy.key, "account": account.name, "status": busy.status}
        text = _("session %(key)s of account %(account)s is %(status)s: one account trades in one session") % words
        advice = _("wait until it has ended") if busy.status == states.STOPPING else _("stop it first")
        raise AccountBusy(f"{text}; {advice}")
    try:
        last = _last(rows)
    except OSError as error:
        raise PastBusy(_("the folder of the last session cannot be looked at: %s; try again") % error) from error
    if last is None:
        return None
    try:
        closing, rules = _closing(last), int(spec.limits.get("rules", MES))
        past = past_of(closing, rules, spec.created_ns, opening_day(spec))
        return msgspec.structs.replace(past, networks=_networks(last, past, rules))
    except ClosingLong as error:
        named: dict[str, Any] = {"key": last.key, "why": error, "id": last.id}
        text = _("session %(key)s: %(why)s; manage.py sessions closing %(id)s does it, then start again") % named
        raise PastBusy(text) from error
    except ClosingBusy as error:
        raise PastBusy(_("session %(key)s: %(why)s; try again") % {"key": last.key, "why": error}) from error
    except ClosingUnknown as error:
        return PastSpec(session=last.id, fault=str(error))


def _networks(last: Session, past: PastSpec, rules: int) -> list[str]:
    """Artifacts that must not end the holds of `past` by being loaded again: those of every session that had one."""
    if not any(BY_BIT[rules][BIT[held.code]].clearing == BY_MODEL_RELOAD for held in past.holds):
        return []
    before = (last.spec.get("past") or {}).get("networks", [])
    return list(dict.fromkeys([*before, last.spec["scorer"].get("artifact", "")]))


def opening_day(spec: SessionSpec) -> int:
    """The trading day on which a session begins, by its windows; 0: they do not say."""
    return next((day for _, _, _, end, day in spec.windows if end > spec.created_ns), 0)


def going_on(account: Account, mode: str, profile: Profile, feed: FeedSpec) -> FeedSpec:
    """A simulated feed that begins on the trading day after the account's last session, unless a start is given.

    Its clock would begin again on the same day otherwise, and the day of an account would never end.  Where no day is
    found (the calendar ends), or nothing is known, the feed's own start stays.
    """
    if feed.name != SIMULATED or "start" in feed.options or account.pk is None:
        return feed
    try:
        last = _last(sessions_of(account, mode))
    except OSError:
        return feed  # `find_past` says so, and nothing starts
    if last is None or last.status not in states.SESSION_OVER:
        return feed
    try:
        closing = _closing(last)
        closed_ns, closed_day = closing.now_ns, closing.figures["trading_day"]
    except ClosingBusy:
        return feed  # `find_past` says so, and nothing starts
    except ClosingUnknown:
        closed_ns, closed_day = int(last.spec.get("created_ns", 0)), 0
    first_ns = START_NS[profile.market.venue]
    passed = max(0, closed_ns - first_ns) // DAY_NS
    for days in range(passed + 1, passed + 1 + AHEAD_DAYS):
        at = first_ns + days * DAY_NS
        try:
            rows = windows(profile.market.schedule, profile.market.venue, at, 1)
        except CalendarError:
            return feed
        if any(
            phase in (NORMAL, REDUCED) and begin <= at < end and day > closed_day for phase, begin, end, day in rows
        ):
            start = datetime.fromtimestamp(at // NANOS, UTC).isoformat()
            return msgspec.structs.replace(feed, options=feed.options | {"start": start})
    return feed


def _closing(row: Session) -> Closing:
    """How this session left its account, within FRAMES_MAX frames.  Raises ClosingUnknown, ClosingBusy, ClosingLong."""
    return read_closing(session_folder(row.id), row.id, Patience(FRAMES_MAX, settings.CODE_HASH))


def _last(rows: "QuerySet[Session]") -> Session | None:
    """The newest one that knew the account."""
    return next((row for row in rows if not _never_ran(row)), None)


def last_ran(account: Account, mode: str) -> Session | None:
    """The account's newest session that knew it and was no recording.  Raises OSError."""
    return _last(sessions_of(account, mode))


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
    new_day = bool(figures) and opening_day(spec) > figures["trading_day"]
    rows = [hold_words(rules, held.code, held.until_ns) for held in past.holds]
    values["holds"] = [row for row in rows if not (new_day and row["day"])]
    if past.fault:
        values["holds"] = [{"code": "STATE_UNREADABLE", "ends": str(LOST), "until_us": None}]
    if figures:
        values["balance_micros"] = figures["balance_micros"]
        values["streak"] = 0 if new_day and rules == MES else figures["streak"]  # as the kernel rolls the day
        values |= {"new_day": new_day, "day": opening_day(spec) if new_day else figures["trading_day"]}
        values["day_net_micros"] = 0 if new_day else figures["day_net_micros"]
        capital = min(figures["capital_micros"], spec.limits.get("capital_micros", figures["capital_micros"]))
        values["day_limit_micros"] = _day_limit(spec.limits, capital)
        values["day_left_micros"] = max(0, values["day_limit_micros"] + min(0, values["day_net_micros"]))
        values["fallen_micros"] = figures["peak_micros"] - figures["balance_micros"]
        values["fallen_limit_micros"] = spec.limits.get("drawdown_micros_max")
    return values


def _day_limit(limits: dict[str, int], capital_micros: int) -> int:
    """What may be lost in a day: the smaller of the amount and the share of the capital, as the kernel takes it."""
    limit, ppm = limits.get("loss_day_micros_max", 0), limits.get("loss_day_share_ppm_max", 0)
    return min(limit, share(max(0, capital_micros), ppm)) if ppm > 0 else limit


def money_words(micros: int) -> str:
    """Money to the hundredth, with a true minus."""
    return f"{Decimal(micros) / MICROS:,.2f}".replace("-", "−")


def hold_words(rules: int, code: str, until_ns: int) -> dict[str, Any]:
    """One inherited hold: its code and what ends it."""
    hold = next((row for row in HOLDS[rules] if row.code == code), None)
    clearing = None if hold is None else BY_BIT[rules][hold.bit].clearing
    timed = until_ns > 0 and (clearing == BY_TIME or code == "OPERATOR_PAUSE")  # a pause may have an end (MOEX-RISK-06)
    until_us = until_ns // 1000 if timed else None
    ends = {
        BY_TIME: _("ends by the session's clock"),
        BY_TRADING_DAY: _("ends when the trading day rolls"),
        BY_MODEL_RELOAD: _("ends when a verified network is loaded"),
    }.get(BY_TIME if timed else clearing or 0, _("ends when a person lifts it"))
    return {"code": code, "ends": ends, "until_us": until_us, "day": clearing == BY_TRADING_DAY}


def in_words(past: PastSpec | None, spec: SessionSpec) -> str:
    """One line: "continues session 41: day −212.50 of −500.00 USD, 2 holds: DAILY_LOSS (…)"."""
    if past is None:
        capital = {
            "capital": money_words(spec.limits.get("capital_micros", spec.capital_micros)),
            "currency": spec.currency,
        }
        if spec.feed.name == RECORDED:
            return _("a recording begins with a fresh account: %(capital)s %(currency)s") % capital
        return _("the first session of this account: %(capital)s %(currency)s") % capital
    shown = figures_of(past, spec)
    words = {"session": past.session, "currency": spec.currency, "fault": past.fault}
    holds = "; ".join(f"{row['code']} {row['ends']}" for row in shown["holds"])
    if past.fault:
        return _("session %(session)s cannot be continued (%(fault)s)") % words + f": {holds}"
    words |= {
        "balance": money_words(shown["balance_micros"]),
        "day": money_words(shown["day_net_micros"]),
        "limit": money_words(-shown["day_limit_micros"]),
        "count": len(shown["holds"]),
    }
    line = _("continues session %(session)s: balance %(balance)s, day %(day)s of %(limit)s %(currency)s")
    if shown["new_day"]:
        line = _(
            "continues session %(session)s on a new trading day: balance %(balance)s, may lose %(limit)s %(currency)s"
        )
    return line % words + (_(", %(count)d holds: ") % words + holds if holds else _(", no holds"))
