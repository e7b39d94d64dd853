"""A live session's schedule against its venue's cut-off, at the start and at every roll (MES-EOD-02)."""

import dataclasses

import msgspec
import pytest
from django.db import connection

from tests.shell.frames import Tape, context_of, make_session, ring, shipped
from trading import configs
from trading.core import states
from trading.core.records import COMMANDS, TIMER
from trading.models import Command, ConfigVersion, Session
from trading.preflight import rolls
from trading.preflight.planning import StartRefused, session_windows
from trading.preflight.rolls import RollCheck
from trading.run.streams import ZERO_ID

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_folder")]
DAY_NS = 86_400_000_000_000
NOON = 1_772_643_600_000_000_000  # 2026-03-04 17:00 UTC, noon in New York
EARLY = 1_795_788_000_000_000_000  # 2026-11-27 14:00 UTC: the day after Thanksgiving closes at 13:15


def profile(schedule: str) -> configs.Profile:
    found = configs.profile_of(shipped("mes-topstep"))
    return found.model_copy(update={"market": found.market.model_copy(update={"schedule": schedule})})


def test_a_start_asks_with_the_cut_off_of_its_own_venue_mes_acc_x16() -> None:
    """MES-EOD-02: `standard` with the platform as live venue is refused, both times named; early closes shift both."""
    for start_ns, times in (
        (NOON, r"20260304 .*16:15 New York.*platform venue at 16:10"),
        (EARLY, r"20261127 .*platform venue at 12:10"),
    ):
        with pytest.raises(StartRefused, match=rf"EOD_SCHEDULE_LATE.*{times}") as refused:
            session_windows(profile("standard"), "live", start_ns)
        assert refused.value.code == "EOD_SCHEDULE_LATE"
        assert session_windows(profile("standard"), "paper", start_ns), "a simulated venue closes with its session"
        assert session_windows(profile("topstep"), "live", start_ns)
    with pytest.raises(StartRefused, match="nobody knows the cut-off"):
        session_windows(profile("topstep"), "unheard", NOON)


def late_version(session: Session) -> ConfigVersion:
    values = configs.profile_of(session.version).to_values()
    values["market"]["schedule"] = "standard"
    return configs.store(configs.parse_profile(values), author="alice", reason="a schedule that ends late")


def check_of(session: Session, **changes: object) -> RollCheck:
    """A new check, as after a restart, of a session that has three days."""
    days = [(-1, 1, NOON + k * DAY_NS, NOON + k * DAY_NS + 1, 20260304 + k) for k in range(3)]
    spec = msgspec.structs.replace(context_of(session).spec, windows=days, **changes)
    return RollCheck(dataclasses.replace(context_of(session), spec=spec))


def test_every_roll_of_a_live_session_asks_again_and_pauses_mes_eod_02(redis_server, redis_client) -> None:
    """MES-EOD-02: a schedule that has become late holds entries; one that fits, and a simulated venue, do nothing."""
    session = make_session(redis_url=redis_server)
    inbox, bad = ring(session, redis_client), late_version(session)
    for mode, version, expected in (("paper", bad, []), ("live", session.version, []), ("live", bad, ["pause"])):
        check = check_of(session, mode=mode)
        Session.objects.filter(id=session.id).update(version=version)
        check.note(Tape().add(TIMER, ts_ns=NOON).frames()["event"])
        check.look()
        assert inbox.length() == 0, "the first day was asked about at the start"
        check.note(Tape().add(TIMER, ts_ns=NOON + DAY_NS).frames()["event"])
        check.look()
        check.look()
        sent = [COMMANDS[int(entry.events[0]["code"])] for entry in inbox.read(ZERO_ID, 0, 9)]
        assert sent == expected


def test_a_day_is_paused_once_and_asked_about_with_pauses_mes_eod_02(redis_server, redis_client, monkeypatch) -> None:
    """MES-EOD-02: without Redis no command is stored that could only fail; a restart pauses nobody again."""
    session, now_ns = make_session(redis_url=redis_server), 1
    Session.objects.update(version=late_version(session))
    monkeypatch.setattr(rolls, "boot_ns", lambda: now_ns)
    asked: list[str] = []

    def look(check: RollCheck) -> None:
        check.note(Tape().add(TIMER, ts_ns=NOON + DAY_NS).frames()["event"])
        check.look()

    def count(execute, sql, *how):
        asked.append(sql)
        return execute(sql, *how)

    away = check_of(session, mode="live", redis_url="redis://127.0.0.1:1/0")
    look(away)
    with connection.execute_wrapper(count):
        look(away)
        assert not asked and not Command.objects.exists()
        asked.clear()
        now_ns += rolls.AGAIN_NS
        look(away)
    assert len(asked) > 0 and not Command.objects.exists()
    inbox = ring(session, redis_client)
    look(check_of(session, mode="live"))
    Command.objects.update(state=states.UNKNOWN)  # it may have died with Redis
    look(check_of(session, mode="live"))
    assert inbox.length() == Command.objects.count() == 2
    Command.objects.filter(state=states.ACCEPTED).update(state=states.DONE)
    look(check_of(session, mode="live"))
    assert inbox.length() == Command.objects.count() == 2
