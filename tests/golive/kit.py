"""A paper session as it lies stored once it is over: journal and ledger, made by the real kernel and follower."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
from django.utils import timezone

from tests.kernel.desk import Desk
from tests.run.test_daily import journal
from tests.shell.frames import context_of, make_session
from trading.control import session_folder
from trading.core.records import CONFIG_COMMIT
from trading.golive.lineage import recipe_of
from trading.models import Session
from trading.run.journal.reader import JournalReader
from trading.run.spec import ScorerSpec
from trading.sinks import LedgerFollower

BASELINE = ScorerSpec("baseline")


def stored(desk: Desk, feed: str = "live", read: int | None = None, **inputs: Any) -> Session:
    """The ended session that lived what this desk was given; `read`: frames that the ledger has seen, else all."""
    session = make_session("ended")
    session.started_at = session.ended_at = timezone.now()
    session.spec["feed"]["name"] = feed
    session.spec["inputs"] = {"recipe": recipe_of(BASELINE)} | inputs
    session.spec["instruments"][0]["values"]["tick_value_micros"] = 1_250_000
    session.save()
    for event in desk.given:
        event["ref"] = np.where(event["kind"] == CONFIG_COMMIT, session.version_id, event["ref"])
    folder = journal(desk, session_folder(session.id))
    frames = JournalReader(folder).read(0, 100_000)[: read or None]
    LedgerFollower(context_of(session)).apply(frames)
    session.refresh_from_db()
    return session


def ns_behind(desk: Desk) -> int:
    """An hour after the last event."""
    return desk.now_ns + 3_600_000_000_000


def moment(ns: int) -> datetime:
    return datetime.fromtimestamp(ns / 1e9, UTC)
