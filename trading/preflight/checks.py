"""Pre-flight: everything that a start needs, measured before anything is started; the start itself asks it all again.

`examine` gives rows (name, value, limit, verdict, what to do) within WAIT_S; what has not answered by then has failed.
`start` runs the same rows, refuses on the first failed one, and else makes and starts exactly the session that they
looked at: a forged request cannot start what pre-flight fails.  Called by the pages, which checked the rights, and by
`manage.py sessions`: page and shell refuse with the same sentences.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
from django.conf import settings
from django.db import connections
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy

from marketdata.core.features_schema import schema_hash
from marketdata.core.sessions import NORMAL, REDUCED
from marketdata.core.units import MICROS, NANOS
from marketdata.feeds.port import FeedError
from risk.core.records import UNSET
from risk.schema import FIELDS
from trading import configs, services
from trading.accounts import opening, past
from trading.models import Account, ConfigVersion, Session
from trading.preflight import golive, hedging, plans, probes, statements
from trading.preflight.probes import FAIL, PASS, SKIP, UNKNOWN, WARN, Found
from trading.run.spec import MODES, FeedSpec, ScorerSpec, SessionSpec

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

WAIT_S = 2.7  # rows stand within 3 s
START_WAIT_S = 60.0  # a start waits for a long recording
DRILL_HOURS_MAX = 24
_Answer = TypeVar("_Answer")


class Plan(NamedTuple):
    """What somebody wants to start.  `profile` is a word for `configs.find`; no account: the profile's own."""

    profile: str
    feed: FeedSpec
    scorer: ScorerSpec
    mode: str = "paper"
    account: Account | None = None


class Evidence(NamedTuple):
    """What only the floor above knows: the hash of the code on disk, and the last drill of the kill switch."""

    code_on_disk: str
    drill_at: datetime | None = None
    drill_ms: float | None = None


class Row(NamedTuple):
    """One line of pre-flight.  `page` names where to mend it; the pages turn it into an address."""

    id: str
    name: str
    verdict: str
    value: str
    limit: str
    control: str
    advice: str
    page: str


class Preflight(NamedTuple):
    """All rows, when they were taken, and the session that they speak of (None when it cannot be made)."""

    rows: list[Row]
    at: datetime
    ms: int
    account: Account | None
    version: ConfigVersion | None
    spec: SessionSpec | None

    @property
    def failed(self) -> list[Row]:
        return [row for row in self.rows if row.verdict == FAIL]

    @property
    def passed(self) -> int:
        return sum(row.verdict in (PASS, WARN) for row in self.rows)

    @property
    def needed(self) -> int:
        """Rows that this mode needs."""
        return sum(row.verdict != SKIP for row in self.rows)

    @property
    def ok(self) -> bool:
        """Whether a start would be taken; what is not known has not passed."""
        return self.passed == self.needed

    @property
    def good_until(self) -> datetime:
        return self.at + timedelta(seconds=plans.GOOD_S)


class _Line(NamedTuple):
    """What a row says besides what was measured."""

    id: str
    name: "str | StrPromise"
    control: str
    limit: "str | StrPromise"
    page: str


LINES = (
    _Line("latch", lazy("Kill latch"), "K-05", lazy("not latched"), "kill"),
    _Line("limits", lazy("Configuration and limits"), "P-07", lazy("active, hash right, every limit set"), "config"),
    _Line("mode", lazy("Mode"), "G-04", lazy("open to the profile"), "config"),
    _Line("account", lazy("Account"), "P-13", lazy("the profile's venue and currency"), "accounts"),
    _Line("past", lazy("What the account brings"), "MES-RISK-22", lazy("known, and in no other session"), "sessions"),
    _Line("feed", lazy("Market data opens"), "P-04", lazy("readable to its end, a book where one is needed"), "form"),
    _Line("size", lazy("Contract fits the limits"), "P-14", lazy("one entry risks no more than a trade may"), "config"),
    _Line("hours", lazy("Hours"), "P-03", lazy("the data reach entry hours"), "form"),
    _Line("stop", lazy("Stop plan"), "P-21", lazy("within the stop's bounds"), "config"),
    _Line("reserve", lazy("Reserve for cancels"), "N3", lazy("enough to cancel every order and close"), "config"),
    _Line("hedge", lazy("Hedge"), "MOEX-HEDGE-03", lazy("a future that hedges among the instruments"), "hedge"),
    _Line("scorer", lazy("Scorer and features"), "P-23", "", "form"),
    _Line("build", lazy("Same build everywhere"), "G-05", "", "ops"),
    _Line("redis", lazy("Redis"), "P-02", lazy("answers within 1.5 s"), "ops"),
    _Line("database", lazy("Database"), "G-09", lazy("takes a write within 400 ms"), "ops"),
    _Line("workers", lazy("Loop workers"), "K-03", lazy("1 or more answer within 1.5 s"), "ops"),
    _Line("venue", lazy("Paper venue"), "P-05", lazy("answers within 1.5 s"), "ops"),
    _Line("guard", lazy("Guard, the second road to flat"), "K-04", lazy("answers within 1.5 s"), "ops"),
    _Line("disk", lazy("Disk"), "G-09", "", "ops"),
    _Line("clock", lazy("Clock"), "T-09", lazy("no jump above 1 s; 50 ms for live"), "ops"),
    _Line("drill", lazy("Kill drill"), "K-07", lazy("within 24 h for live"), "drills"),
    _Line("alerts", lazy("Alert test"), "N16", lazy("within 7 days for live"), "ops"),
    _Line("statement", lazy("Last statement"), "T-03", lazy("equal or settled; live needs it"), "sessions"),
    _Line("presence", lazy("Presence"), "N14", lazy("somebody at the desk, for live"), "desk"),
    _Line("band", lazy("Paper optimism band"), "N5", lazy("measured and inside, for live"), "sessions"),
    _Line("gate", lazy("Go-live gate"), "MOEX-OPS-03", lazy("passed within a day, or skipped today, for live"), "gate"),
    _Line("credentials", lazy("Broker credentials"), "G-10", lazy("valid, for live"), "accounts"),
)
LIVE_ONLY = ("alerts", "presence", "band", "credentials")
WHERE = {  # refusals of a plan → the row that they belong to
    "MODE_UNKNOWN": "mode", "ACCOUNT_UNKNOWN": "account", "INSTRUMENT": "feed", "NO_BOOK": "feed", "NO_INDEX": "feed",
    "CONTRACT_TOO_LARGE": "size", "OUT_OF_HOURS": "hours", "SCHEDULE": "hours", "EOD_SCHEDULE_LATE": "hours",
    "SPEC": "limits",
}  # fmt: skip
ANSWERS = ("redis", "database", "workers", "venue", "guard")
PLANNED = ("mode", "account", "feed", "size", "hours")  # in the order in which a plan is checked


def examine(plan: Plan, evidence: Evidence, wait_s: float = WAIT_S) -> Preflight:
    """Measure every row.  Writes nothing; returns within `wait_s` and a little, whatever does not answer."""
    began, at = time.perf_counter(), timezone.now()
    found: dict[str, Found] = {}
    version, profile = _configuration(plan.profile, found)
    account = None if profile is None else plan.account or opening.account_for(profile)
    pool = ThreadPoolExecutor(max_workers=9, thread_name_prefix="pre-flight")
    jobs: dict[str, Future[Found]] = {name: pool.submit(_own_connection, probe) for name, probe in _asks(plan)}
    planned = None
    if profile is not None and version is not None and account is not None:
        feed = _going_on(pool, account, plan, profile, wait_s)
        planned = plans.ask(plan.mode, feed, plan.scorer, account, version, profile)
        jobs["statement"] = pool.submit(_own_connection, partial(statements.row, account, plan.mode, plan.feed))
        jobs["past"] = pool.submit(_own_connection, partial(_past, account, planned, wait_s))
    found["build"] = probes.probe_build(settings.CODE_HASH, evidence.code_on_disk)
    found["clock"] = probes.probe_clock(*probes.kernel_clock(), probes.clock_step_ms())
    found["drill"] = _drill(evidence, at)
    asked: list[Future[Any]] = [*jobs.values(), *([planned] if planned else [])]
    wait(asked, timeout=wait_s)
    pool.shutdown(wait=False, cancel_futures=True)
    for name, job in jobs.items():
        found[name] = job.result() if job.done() else Found(FAIL, _("no answer within %.1f s") % wait_s, _("Try again"))
    spec = _planned(planned, found, wait_s)
    if plan.account is not None and profile is not None and found["account"].verdict == PASS:
        words = found["account"].value.replace(f"paper {profile.profile}", plan.account.name, 1)
        found["account"] = found["account"]._replace(value=words)
    if profile is not None:
        _bounds(profile, found)
        if version is not None:
            found["gate"] = golive.row(plan.mode, version, profile, plan.scorer)
        if (hedge := hedging.row(profile, plan.feed.symbols)) is not None:
            found["hedge"] = hedge
    ms = round((time.perf_counter() - began) * 1000)
    lines = [line for line in LINES if line.id != "hedge" or "hedge" in found]  # a profile without one has no such row
    return Preflight([_row(line, found, plan) for line in lines], at, ms, account, version, spec)


def start(plan: Plan, evidence: Evidence, by: str) -> Session:
    """Check all again, then make and start the session.  Raises StartRefused with the first failed row, ConfigError."""
    seen = _passed(plan, evidence)
    if seen.spec is None or seen.version is None:
        raise services.StartRefused("PREFLIGHT", _("The recording is still being read: try again, or a smaller file"))
    account = opening.stored(plan.account, configs.profile_of(seen.version))
    session = services.store_session(seen.spec, account, seen.version, by)
    return services.start_session(session.id, by)


def start_made(session: Session, evidence: Evidence, by: str) -> Session:
    """Start a session that was made before, once the same rows pass for its own inputs.  Raises as `start` does."""
    spec = msgspec.convert(session.spec, SessionSpec)
    version = f"{session.version.profile}@{session.version.number}"
    _passed(Plan(version, spec.feed, spec.scorer, spec.mode, session.account), evidence)
    return services.start_session(session.id, by)


def _passed(plan: Plan, evidence: Evidence) -> Preflight:
    """All rows, none of which failed.  Raises StartRefused."""
    seen = examine(plan, evidence, START_WAIT_S)
    if seen.failed and {row.id for row in seen.failed} <= set(ANSWERS):
        seen = examine(plan, evidence, START_WAIT_S)  # a machine that was busy for a moment is asked once more
    for row in (*seen.failed, *(row for row in seen.rows if row.verdict == UNKNOWN)):
        raise services.StartRefused("PREFLIGHT", f"{row.name}: {row.value} ({_('needed')}: {row.limit}). {row.advice}")
    return seen


def _asks(plan: Plan) -> list[tuple[str, Callable[[], Found]]]:
    var = Path(settings.VAR)
    return [
        ("latch", lambda: probes.probe_latch(var)),
        ("redis", probes.probe_redis),
        ("database", probes.probe_database),
        ("workers", probes.probe_workers),
        ("venue", lambda: probes.probe_venue(var / "venue" / "venue.sock")),
        ("guard", lambda: probes.probe_guard(var)),
        ("scorer", lambda: probes.probe_scorer(plan.scorer, plan.feed.symbols)),
        ("disk", lambda: probes.probe_disk(var, settings.DISK_BYTES_MIN)),
    ]


def _own_connection(probe: Callable[[], _Answer]) -> _Answer:
    """A thread's database connection is its own, and closed with it."""
    try:
        return probe()
    finally:
        connections.close_all()


def _configuration(word: str, found: dict[str, Found]) -> tuple[ConfigVersion | None, configs.Profile | None]:
    """The active version and its checked profile, or the row that says why not."""
    advice = _("Activate a version that loads")
    try:
        version = configs.find(word)
        profile = configs.profile_of(version)
    except configs.ConfigError as error:
        found["limits"] = Found(FAIL, str(error).splitlines()[0][:300], advice)
        return None, None
    limits = profile.limits()
    unset = [name for name, value in limits.items() if value == UNSET]
    if unset:
        found["limits"] = Found(FAIL, _("not set: %s") % ", ".join(unset), advice)
        return None, None
    words = {"version": version, "hash": version.hash[:12], "set": len(limits), "all": len(FIELDS)}
    found["limits"] = Found(PASS, _("%(version)s, hash %(hash)s, %(set)d of %(all)d set") % words)
    return version, profile


def _going_on(
    pool: ThreadPoolExecutor, account: Account, plan: Plan, profile: configs.Profile, wait_s: float
) -> FeedSpec:
    """The feed with its own start, where the account's last session gives one within half of the time."""
    asked = partial(past.going_on, account, plan.mode, profile, plan.feed)
    try:
        return pool.submit(_own_connection, asked).result(wait_s / 2)
    except TimeoutError:  # a long journal is read again: the start looks once more
        return plan.feed


def _planned(job: "Future[SessionSpec] | None", found: dict[str, Found], wait_s: float) -> SessionSpec | None:
    """Rows of the plan: those before the refused one have passed, those behind it are not known."""
    spec: SessionSpec | None = None
    refused, why = PLANNED[0], _("the configuration does not load")
    if job is not None and not job.done():
        words = _("still being read after %.1f s; the start waits for it") % wait_s
        found.update({name: Found(PASS, _("checked")) for name in ("mode", "account")})
        found.update({name: Found(WARN, words) for name in ("feed", "size", "hours")})
        return None
    if job is not None:
        try:
            spec, refused = job.result(), ""
        except services.StartRefused as error:
            refused, why = WHERE.get(error.code, "limits"), str(error)
        except (FeedError, OSError) as error:
            refused, why = "feed", str(error)
    if refused == "limits":
        found["limits"], refused = Found(FAIL, why, _("Correct the version")), PLANNED[0]
    for name in PLANNED[: PLANNED.index(refused)] if refused else PLANNED:
        found[name] = Found(PASS, _describe(name, spec) if spec else _("checked"))
    if refused:
        advice = {"feed": _("Choose another file or market"), "hours": _("Choose other data, or a demo profile")}
        first = job is not None and found["limits"].verdict == PASS
        found[refused] = Found(FAIL if first else UNKNOWN, why, advice.get(refused, _("Correct the version")))
        for name in PLANNED[PLANNED.index(refused) + 1 :]:
            found[name] = Found(UNKNOWN, _("not known before the row above passes"))
    return spec


def _describe(name: str, spec: SessionSpec) -> str:
    """What a passed row of the plan measured."""
    symbols = ", ".join(item.symbol for item in spec.instruments)
    if name == "mode":
        return spec.mode.upper()
    if name == "account":
        return _("paper %(profile)s, %(capital)s %(currency)s") % {
            "profile": spec.profile,
            "capital": f"{spec.capital_micros // MICROS:,}",
            "currency": spec.currency,
        }
    if name == "feed":
        kind = _("bars") if spec.venue.fill_model == "bar" else _("a book")
        words = {"feed": Path(spec.feed.path).name or spec.feed.name, "symbols": symbols, "kind": kind}
        return _("%(feed)s: %(symbols)s, %(kind)s") % words
    if name == "size":
        return symbols
    return _hours(spec)


def _past(account: Account, planned: "Future[SessionSpec]", wait_s: float) -> Found:
    """Which session this one continues, and under which holds it opens; a start reads it again."""
    try:
        spec = planned.result(max(0.1, wait_s - 0.5))  # so that this row says so, not "no answer"
    except TimeoutError:
        return Found(WARN, _("not known while the recording is read; the start waits for it"))
    except (services.StartRefused, FeedError, OSError):
        return Found(UNKNOWN, _("not known before the session can be made"))
    try:
        found = past.find_past(account, spec)
    except past.AccountBusy as error:
        advice = _("Try again") if isinstance(error, past.PastBusy) else _("Its page stops it")
        return Found(FAIL, str(error), advice)
    words = past.in_words(found, spec)
    if found is None or not (found.fault or found.holds):
        return Found(PASS, words)
    advice = _("State its figures once it runs") if found.fault else _("It opens under these holds")
    return Found(WARN, words, advice)


def _hours(spec: SessionSpec) -> str:
    """Where the tape starts, and until when entries are admitted."""
    start = _utc(spec.created_ns)
    inside = [w for w in spec.windows if w[1] in (NORMAL, REDUCED) and w[2] <= spec.created_ns < w[3]]
    if inside:
        return _("starts %(start)s, entries until %(end)s") % {"start": start, "end": _utc(inside[0][3])}
    return _("starts %(start)s, entries later in the tape") % {"start": start}


def _utc(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns // NANOS, UTC):%Y-%m-%d %H:%M} UTC"


def _bounds(profile: configs.Profile, found: dict[str, Found]) -> None:
    """Stop plan and cancel reserve, by the version's own numbers."""
    limits = profile.limits()
    low, at, high = limits["stop_ticks_min"], limits["stop_ticks"], limits["stop_ticks_max"]
    words = _("%(at)d ticks, bounds %(low)d to %(high)d") % {"at": at, "low": low, "high": high}
    found["stop"] = Found(PASS, words) if low <= at <= high else Found(FAIL, words, _("Mend the version"))
    needed = limits["orders_open_max"] + 2  # every order, one close, one look
    kept = limits["messages_reserved"]
    words = _("%(kept)d messages kept, %(needed)d needed") % {"kept": kept, "needed": needed}
    found["reserve"] = Found(PASS, words) if kept >= needed else Found(FAIL, words, _("Mend the version"))


def _drill(evidence: Evidence, at: datetime) -> Found:
    """K-07: shown with its age; paper does not need it."""
    if evidence.drill_at is None:
        return Found(SKIP, _("never run here; not needed for paper"))
    hours = (at - evidence.drill_at).total_seconds() / 3600
    took = "" if evidence.drill_ms is None else f", {evidence.drill_ms:.0f} ms"
    late = "" if hours <= DRILL_HOURS_MAX else _(", too old for live")
    return Found(SKIP, _("%(hours).1f h ago%(took)s%(late)s; not needed for paper") % {
        "hours": hours, "took": took, "late": late
    })  # fmt: skip


def _row(line: _Line, found: dict[str, Found], plan: Plan) -> Row:
    if line.id in LIVE_ONLY:
        seen = Found(SKIP, _("not needed for paper"))
    else:
        seen = found.get(line.id, Found(UNKNOWN, _("not known: the configuration does not load")))
    limit = {
        "scorer": _("whole, features %s") % schema_hash()[:12],
        "disk": _("%.1f GB at least") % (settings.DISK_BYTES_MIN / 1e9),
        "build": settings.CODE_HASH,
        "mode": ", ".join(MODES),
    }.get(line.id, str(line.limit))
    return Row(line.id, str(line.name), seen.verdict, seen.value, limit, line.control, seen.advice, line.page)
