"""Pre-flight's questions to the world: does it answer, and how fast?  Each returns a Found and raises nothing expected.

Every probe is bounded by its own time-out, reads, and changes nothing.  Called by `checks`, each in its own thread.
"""

import ctypes
import shutil
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import redis
from celery import current_app
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError

from trading.brokers.paper_link import VenueLink
from trading.brokers.port import OutcomeUnknown, RateLimited, Rejected, Unreachable
from trading.brokers.wire import UNKNOWN_ACCOUNT
from trading.learning.artifacts import ArtifactError
from trading.learning.feeding import open_feeding
from trading.learning.scoring import NetworkScorer, ScorerError, open_scorer
from trading.leases import short_wait
from trading.models import Session
from trading.run.clock import boot_ns
from trading.run.guard import ask_guard
from trading.run.latch import latch_age_s, read_latch
from trading.run.loops import StoreAway
from trading.run.spec import ScorerSpec
from trading.run.streams import make_client
from trading.worker import answering

PASS, WARN, FAIL, SKIP, UNKNOWN = "pass", "warn", "fail", "skip", "unknown"
ANSWER_S = 1.5
WORKERS_SOON_S, WORKERS_S = 0.4, 1.5
CLOCK_ERROR_MS_MAX = 50
CLOCK_STEP_MS_MAX = 1000
DISK_ROOMY = 5  # times the least: below it is a warning
_STARTED = (time.time_ns(), boot_ns())
_ADJTIMEX = struct.Struct("=I4x4qi")  # modes, offset, freq, maxerror, esterror, status
_UNSYNCHRONISED = 0x40


class Found(NamedTuple):
    """What one check measured.  `advice` says what to do; empty when nothing has to be done."""

    verdict: str
    value: str
    advice: str = ""


def _ms(began: float) -> str:
    return f"{(time.perf_counter() - began) * 1000:.0f} ms"


def probe_latch(var: Path) -> Found:
    """K-05: no latch stands."""
    latch = read_latch(var)
    if latch is None:
        return Found(PASS, _("not latched"))
    age = f"{latch_age_s(latch):.0f} s" if latch["boot_id"] else "?"
    value = _("HALTED for %(age)s, by %(by)s: %(reason)s") % {"age": age, "by": latch["by"], "reason": latch["reason"]}
    return Found(FAIL, value, _("Find out why, then release it: manage.py unlock"))


def probe_redis() -> Found:
    began = time.perf_counter()
    client = make_client(settings.REDIS_URL)
    client.connection_pool.connection_kwargs.update(socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S)
    try:
        client.ping()
    except (redis.RedisError, OSError) as error:
        return Found(FAIL, _("no answer: %s") % error, _("It is started with the desk: look at logs/redis.log"))
    finally:
        client.close()
    return Found(PASS, _("answers in %s") % _ms(began))


def probe_database() -> Found:
    """One statement that would write, in a transaction: a locked or read-only database is found out."""
    began = time.perf_counter()
    try:
        with short_wait(), transaction.atomic():
            Session.objects.filter(id=-1).update(reason="")
    except (StoreAway, DatabaseError) as error:
        return Found(FAIL, _("does not take a write: %s") % error, _("See what locks it: manage.py doctor"))
    return Found(PASS, _("%(kind)s takes a write in %(ms)s") % {"kind": connection.vendor, "ms": _ms(began)})


def probe_workers() -> Found:
    """Loop workers that answer over the broker; a session's five loops need one at least.

    The broker waits out its time whoever answers: so it is asked for a moment first, and only silence is waited for.
    """
    loops = 0
    try:
        for wait_s in (WORKERS_SOON_S, WORKERS_S):
            loops = loops or answering(current_app, "loops", wait_s)
    except (OperationalError, redis.RedisError, OSError) as error:
        return Found(FAIL, _("not asked: %s") % error, _("Redis carries the question: see its row"))
    if loops == 0:
        return Found(FAIL, _("0 answer"), _("They are started with the desk: look at logs/loop1.log"))
    return Found(PASS, _("%d answer") % loops)


def probe_venue(path: Path) -> Found:
    """The paper venue says hello; an account that it does not know is an answer."""
    began = time.perf_counter()
    link = VenueLink(path, ANSWER_S)
    try:
        link.connect("pre-flight", "guard")
    except Rejected as error:
        if error.reason != UNKNOWN_ACCOUNT:
            return Found(FAIL, str(error), _("Look at logs/venue.log"))
    except (Unreachable, OutcomeUnknown, RateLimited) as error:
        return Found(FAIL, str(error), _("It is started with the desk: look at logs/venue.log"))
    finally:
        link.close()
    return Found(PASS, _("answers in %s") % _ms(began))


def probe_guard(var: Path) -> Found:
    """The second road to flat answers (K-04)."""
    began = time.perf_counter()
    try:
        status = ask_guard(var, {"verb": "status"}, ANSWER_S)
    except OSError as error:
        words = _("The kill's second road is dead: look at logs/guard.log")
        return Found(FAIL, _("no answer: %s") % (error.strerror or error), words)
    if "flat" not in status:
        return Found(FAIL, _("refused: %s") % status.get("error", "?"), _("Run the desk as one user"))
    return Found(PASS, _("answers in %s") % _ms(began))


def probe_scorer(scorer: ScorerSpec, symbols: Sequence[str]) -> Found:
    """P-23: the artifact is whole, of exactly this desk's features, and they exist for these instruments."""
    try:
        opened = open_scorer(scorer.name, scorer.artifact, scorer.options)
        if opened is not None:
            open_feeding(opened.schema, symbols)
    except (ScorerError, ArtifactError) as error:
        return Found(FAIL, str(error), _("Choose the baseline, or train again: manage.py train"))
    if opened is None:
        return Found(WARN, _("none: this session only watches"), _("Choose a scorer to see it trade"))
    if isinstance(opened, NetworkScorer):
        words = {"id": opened.artifact.id[:12], "hash": opened.artifact.manifest.schema_hash[:12]}
        return Found(PASS, _("network %(id)s, features %(hash)s") % words)
    return Found(PASS, _("%s, a formula without weights") % opened.name)


def probe_disk(var: Path, least: int) -> Found:
    """Journal and ledger must never meet a full disk.  `least` in bytes."""
    free = shutil.disk_usage(var).free
    value = _("%.1f GB free") % (free / 1e9)
    if free < least:
        return Found(FAIL, value, _("Free some space on the disk of the runtime folder"))
    return Found(PASS if free >= DISK_ROOMY * least else WARN, value, "" if free >= DISK_ROOMY * least else _("Soon"))


def kernel_clock() -> tuple[bool, float | None]:
    """Whether the system calls its clock synchronised, and its greatest error in ms; (False, None): not known."""
    buffer = ctypes.create_string_buffer(256)
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    except (OSError, AttributeError):
        return False, None
    if state < 0:
        return False, None
    __, __, __, most, __, status = _ADJTIMEX.unpack_from(buffer)
    return not status & _UNSYNCHRONISED, most / 1000


def clock_step_ms() -> float:
    """How far the wall clock has moved against the boot clock since this process began, in ms."""
    return ((time.time_ns() - _STARTED[0]) - (boot_ns() - _STARTED[1])) / 1e6


def probe_clock(synchronised: bool, error_ms: float | None, step_ms: float) -> Found:
    """T-09.  Paper runs on the boot clock: only a clock that jumps is refused, an unsynchronised one is said."""
    if abs(step_ms) > CLOCK_STEP_MS_MAX:
        value = _("jumped by %.0f ms since the web started") % step_ms
        return Found(FAIL, value, _("Let NTP settle, then start the desk again"))
    if not synchronised or error_ms is None:
        return Found(WARN, _("not synchronised, as the system says"), _("Switch NTP on; live will need it"))
    if error_ms > CLOCK_ERROR_MS_MAX:
        return Found(WARN, _("error up to %.0f ms") % error_ms, _("Let NTP settle; live will need it"))
    return Found(PASS, _("synchronised, error up to %.0f ms") % error_ms)


def probe_build(running: str, on_disk: str) -> Found:
    """G-05: what runs is what lies on the disk; every worker that starts later reads the disk."""
    if running != on_disk:
        value = _("this process runs %(a)s, the disk holds %(b)s") % {"a": running, "b": on_disk}
        return Found(FAIL, value, _("Start the desk again: the code changed under it"))
    return Found(PASS, running)
