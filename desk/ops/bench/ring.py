"""The real loops under measurement: sessions on the simulated market, kills by the browser's road and by the guard's.

Runs inside the environment of a private desk.  Profiles are the shipped ones; where a figure needs another number (a
time exit within seconds), the changed fields are said in the head of the table.
"""

import contextlib
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import numpy as np
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.contrib.sessions.backends.db import SessionStore

from desk.ops.bench.hops import kill_to_sent
from trading import configs, services
from trading.control import put, session_folder
from trading.core.records import FIRST_OUTPUT_KIND
from trading.models import Session
from trading.run import guard
from trading.run.clock import boot_ns
from trading.run.journal.reader import JournalReader
from trading.run.latch import clear_latch
from trading.run.spec import FeedSpec, load_spec

BY = "bench"
READ = 1_000_000
RATE = "1.6"  # about 50 market events a second
CHANGED: dict[str, object] = {
    "hold_max": "2 s",
    "cooldown_entry": "0 s",
    "cooldown_exit": "0 s",
    "loss_day_max": "5000 USD",
    "drawdown_day_max": "6000 USD",
    "drawdown_max": "7000 USD",
    "loss_total_max": "9000 USD",
    "streak_soft": 0,  # every exit costs something: a pause after three would leave nothing to measure
    "streak_hard": 0,
}
FLAT_S = 20.0


class BenchFailed(RuntimeError):
    """What was to be measured did not happen; the text says what is missing."""


def start(seed: int, changed: Mapping[str, object] | None = None) -> Session:
    """A running paper session on the simulated market, `demo-mes` with the changed fields."""
    profile = configs.resolve("demo-mes")
    values = profile.to_values()
    values["risk"] |= dict(changed or {})
    version = configs.store(configs.parse_profile(values), author=BY, reason="benchmark")
    account = services.open_account(  # a measurement continues no other one
        name=f"{BY} {boot_ns()}",
        venue=profile.market.venue,
        currency=profile.market.currency,
        balance_micros=profile.limits()["capital_micros"],
    )
    feed = FeedSpec(name="simulated", symbols=["MES"], seed=seed, speed=1.0, options={"rate": RATE})
    session = services.create_session(account=account, version=version, feed=feed, by=BY)
    return services.start_session(session.id, BY)


def frames_of(session: Session) -> np.ndarray:
    """All frames of the session's journal so far."""
    return JournalReader(session_folder(session.id)).read(0, READ)


def stop(session: Session) -> None:
    """End the session and wait until its loops are gone, so that the next one has the machine to itself."""
    services.stop_session(session.id, BY, "measured")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        session.refresh_from_db()
        if session.status == "ended":
            return
        time.sleep(0.2)
    raise BenchFailed(f"session {session.key} did not end: {session.status}")


def run_for(session: Session, seconds: float) -> np.ndarray:
    """Let it trade, then return its frames."""
    time.sleep(seconds)
    frames = frames_of(session)
    if (frames["event"]["kind"] >= FIRST_OUTPUT_KIND).sum() == 0:
        raise BenchFailed(f"session {session.key} decided nothing in {seconds:.0f} s")
    return frames


def browser() -> httpx.Client:
    """A signed-in client with a real session cookie and CSRF token, as a browser would hold them."""
    model = get_user_model()
    user, _ = model.objects.get_or_create(username=BY, defaults={"is_superuser": True, "is_staff": True})
    store = SessionStore()
    store[SESSION_KEY] = str(user.pk)
    store[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.save()
    client = httpx.Client(base_url=f"http://127.0.0.1:{settings.DESK_PORT}", timeout=30)
    client.cookies.set(settings.SESSION_COOKIE_NAME, str(store.session_key))
    client.get("/kill/").raise_for_status()
    return client


def wait_for_position(session: Session, timeout_s: float = 60.0) -> bool:
    """Until the venue shows something held for this session."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if any(left.get("positions") for left in guard.look(settings.VAR).values()):
            return True
        time.sleep(0.05)
    return False


def kill_samples(session: Session, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(click → last close sent, click → flat proved), milliseconds.  The bench lifts the latch between two kills."""
    sent, flat = [], []
    with contextlib.closing(browser()) as client:
        for _ in range(count):
            if not wait_for_position(session):
                raise BenchFailed("no position within a minute")
            form = {"action": "kill", "reason": "benchmark", "csrfmiddlewaretoken": client.cookies["csrftoken"]}
            clicked = boot_ns()
            answer = client.post("/kill/", data=form, headers={"Accept": "application/json"})
            answer.raise_for_status()
            if not answer.json()["flat"]:
                raise BenchFailed(f"not flat: {answer.json()}")
            flat.append((boot_ns() - clicked) / 1e6)
            time.sleep(0.5)
            if (closes := kill_to_sent(frames_of(session), clicked)) is not None:
                sent.append(closes)
            release(session)
    return np.array(sent), np.array(flat)


def release(session: Session) -> None:
    """Unlock without a person's minute of waiting: this desk is the benchmark's own."""
    put(load_spec(session_folder(session.id)), "reset_halt", boot_ns())
    time.sleep(0.3)
    road = guard.Road(guard.read_settings(settings.VAR))
    road.all("block", on=False)
    road.close()
    clear_latch(settings.VAR)
    time.sleep(0.5)
    put(load_spec(session_folder(session.id)), "resume", boot_ns())  # after a kill nothing trades by itself (K-05)


def guard_samples(session: Session, count: int, redis_pid: int) -> np.ndarray:
    """Milliseconds to flat by the guard with Redis stopped (SIGSTOP: it answers nobody)."""
    times = []
    for _ in range(count):
        if not wait_for_position(session):
            raise BenchFailed("no position within a minute")
        os.kill(redis_pid, signal.SIGSTOP)
        try:
            began = time.monotonic_ns()
            report = guard.guard_kill(Path(settings.VAR), BY, "benchmark, Redis is away")
            times.append((time.monotonic_ns() - began) / 1e6)
            if not report["flat"]:
                raise BenchFailed(f"the guard did not prove flat: {report}")
        finally:
            os.kill(redis_pid, signal.SIGCONT)
        time.sleep(3)
        release(session)
        time.sleep(3)
    return np.array(times)
