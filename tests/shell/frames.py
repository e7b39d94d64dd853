"""A session row and hand-made journal frames for the followers: what a journal would show, without running the ring."""

from typing import Any

import numpy as np
from django.utils import timezone

from marketdata.core.records import ACCOUNT_SCOPE, new_events
from risk.core.records import SPEC_FIELDS
from trading import configs, services
from trading.core import records as kinds
from trading.models import Session
from trading.run.context import LoopContext
from trading.run.journal.segment import FRAME
from trading.run.spec import FeedSpec, InstrumentSpec, ScorerSpec, SessionSpec, VenueSpec, save_spec
from trading.run.streams import INBOX, Stream, make_client

SECOND = 1_000_000_000


def shipped(name: str = "demo-mes"):
    """The active version of a shipped profile."""
    return configs.version_for(name, by="alice")


def make_session(status: str = "running", **changes: Any) -> Session:
    """A session of demo-mes with its spec on disk, as a start leaves it, without any process.

    `changes`: redis_url, limits.
    """
    import msgspec

    version = shipped()
    profile = configs.profile_of(version)
    session = Session.objects.create(
        key=f"t{Session.objects.count() + 1}",
        account=services.demo_account(profile),
        version=version,
        mode="paper",
        status=status,
        created_by="alice",
        created_at=timezone.now(),
    )
    spec = SessionSpec(
        id=session.id,
        key=session.key,
        mode="paper",
        profile=profile.profile,
        version_id=version.id,
        version_hash=version.hash,
        currency="USD",
        capital_micros=10_000_000_000,
        limits=profile.limits() | changes.get("limits", {}),
        instruments=[InstrumentSpec("MES", dict.fromkeys(SPEC_FIELDS, 1) | {"hedge": 0})],
        feed=FeedSpec("simulated", ["MES"]),
        venue=VenueSpec(),
        scorer=ScorerSpec("none"),
        windows=[],
        created_ns=0,
        venue_socket=str(services.var() / "venue" / "venue.sock"),
        redis_url=str(changes.get("redis_url", "redis://127.0.0.1:1/0")),
    )
    session.spec = msgspec.to_builtins(spec)
    session.save()
    save_spec(services.session_folder(session.id), spec)
    return session


def context_of(session: Session, loop: str = "sinks") -> LoopContext:
    """The context that a follower is made with."""
    from trading.run.spec import load_spec

    folder = services.session_folder(session.id)
    return LoopContext(
        folder=folder,
        spec=load_spec(folder),
        loop=loop,
        fence=1,
        connect=lambda: make_client("redis://127.0.0.1:1/0"),
        guard=services.var() / "guard",
    )


class Tape:
    """Builds frames with gapless seqs."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []

    def add(self, kind: int, **fields: object) -> "Tape":
        """One more frame."""
        event = new_events(1)
        event["kind"], event["instrument"] = kind, 0
        event["seq"] = len(self.rows) + 1
        event["ts_ns"] = len(self.rows) * SECOND
        for name, value in fields.items():
            event[name] = value
        self.rows.append(event)
        return self

    def frames(self) -> np.ndarray:
        """All frames so far."""
        frames = np.zeros(len(self.rows), FRAME)
        frames["event"] = np.concatenate(self.rows)
        return frames


def round_trip(tape: Tape, number: int = 1, ref: int = 1, command_ref: int = 0) -> Tape:
    """START, a decision, an entry with its fill, a stop, an exit: what the kernel leaves behind."""
    if command_ref:
        tape.add(kinds.COMMAND, code=kinds.START, ref=command_ref, instrument=ACCOUNT_SCOPE)
        tape.add(kinds.RECEIPT, code=kinds.RECEIPT_DONE, value=kinds.START, ref=command_ref, instrument=ACCOUNT_SCOPE)
    for _ in range(3):
        tape.add(kinds.DECISION, code=15, side=1, score_ppm=5)
    tape.add(kinds.DECISION, code=0, side=1, order_number=number, score_ppm=400_000)
    submit = {"order_number": number, "side": 1, "qty": 2, "order_type": kinds.MARKET, "role": kinds.ENTRY, "value": 1}
    tape.add(kinds.SUBMIT, ref=1, **submit)
    tape.add(kinds.ACK, order_number=number, ref=ref)
    tape.add(kinds.ORDER_STATE, order_number=number, side=1, qty=2, code=1, value=0)
    fill = {"order_number": number, "side": 1, "qty": 2, "price_tick": 20_000, "fee_micros": 840_000}
    tape.add(kinds.FILL, ref=ref + 1, **fill)
    tape.add(kinds.ORDER_STATE, order_number=number, side=1, qty=2, volume=2, code=2, value=0)
    tape.add(kinds.FILL, ref=ref + 1, **fill)  # delivered again: the kernel ignores it, and so must the ledger
    tape.add(
        kinds.SUBMIT, order_number=number + 1, side=-1, qty=2, order_type=kinds.MARKET, role=kinds.EXIT, value=1, ref=1
    )
    tape.add(kinds.FILL, ref=ref + 2, order_number=number + 1, side=-1, qty=2, price_tick=20_004, fee_micros=840_000)
    tape.add(kinds.ORDER_STATE, order_number=number + 1, side=-1, qty=2, volume=2, code=2, value=0)
    net = 2 * 4 * 1_250_000 - 2 * 840_000
    trade = {
        "side": 1,
        "qty": 2,
        "open_tick": 20_000,
        "close_tick": 20_004,
        "volume": 10_000_000,
        "fee_micros": 1_680_000,
    }
    tape.add(kinds.TRADE_CLOSED, ref=1, until_ns=5, value=net, **trade)
    return tape


def ring(session: Session, redis_client) -> Stream:
    """The session's inbox, opened as the risk loop would."""
    stream = Stream(redis_client, session.key, INBOX)
    stream.open((0, 0))
    return stream
