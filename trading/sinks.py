"""The ledger's follower: journal frames become orders, fills, trades, decisions, holds, and the states of commands.

Rows and cursor move in one transaction, so frames given twice change nothing and a crash between loses nothing.  It
takes what the kernel took: venue answers count only in the gapless order of their numbers.  A database that is
locked or away is `Retry`; nothing here can delay an exit.  Called by the sinks loop through `settings.SINK_FOLLOWERS`.
"""

import contextlib
from collections.abc import Iterator
from datetime import datetime

import numpy as np
from django.db import transaction
from django.utils import timezone

from marketdata.core.records import NO_TICK, NO_TIME
from risk.core.holds import BIT, hold_of
from trading.control import advance_command, advance_session, write_late
from trading.core import records as kinds
from trading.core import states
from trading.core.past import FIGURES, PAST_FIGURE, PAST_STATED, STATED
from trading.core.states import REFUSALS
from trading.leases import short_wait
from trading.models import Command, ConfigVersion, Decision, Fill, HoldEvent, Order, Session, SinkCursor, Trade
from trading.news.teller import NewsTeller
from trading.overrides.ending import NEVER, OverrideEnds, note_unused
from trading.preflight.rolls import RollCheck
from trading.run.bodies.sinks_loop import Retry
from trading.run.context import LoopContext
from trading.run.loops import StoreAway
from trading.run.spec import STATEMENT
from trading.services import finish_if_flat
from trading.statements.taker import StatementTaker

KEPT = (
    kinds.COMMAND,
    kinds.SUBMIT,
    kinds.ORDER_STATE,
    kinds.DECISION,
    kinds.TRADE_CLOSED,
    kinds.HOLD_RAISED,
    kinds.HOLD_CLEARED,
    kinds.RECEIPT,
    kinds.CONFIG_ACTIVE,
    kinds.PAST,
    kinds.TRANSFER,
    *range(kinds.ACK, kinds.UNKNOWN_OUTCOME + 1),
)
ORDER_CHANGES = ["last_seq", "status", "request", "qty", "filled", "price_tick", "stop_tick", "code", "changed_ns"]
DECISION_CHANGES = ["last_seq", "last_ns", "same", "score_ppm", "confidence_ppm", "price_tick", "holds"]
CLOSING = {kinds.COMMANDS[code] for code in (kinds.FLATTEN_ALL, kinds.STOP_SESSION, kinds.KILL, kinds.LOCK)}
ENTERING = {kinds.COMMANDS[code] for code in (kinds.START, kinds.RESUME)}
LOOK_NS = 1_000_000_000


def tick(value: int) -> int | None:
    """A price in ticks; NO_TICK → None."""
    return None if value == NO_TICK else int(value)


@contextlib.contextmanager
def retried() -> Iterator[None]:
    """One transaction with short waits; a database that is locked or away becomes Retry."""
    try:
        with short_wait(), transaction.atomic():
            yield
    except StoreAway as error:
        raise Retry(str(error)) from error


def move_cursor(session_id: int, follower: str, frames: np.ndarray) -> np.ndarray:
    """The frames behind this follower's cursor, which moves to their end.  Inside a transaction."""
    row, _ = SinkCursor.objects.select_for_update().get_or_create(session_id=session_id, follower=follower)
    fresh = frames[frames["event"]["seq"] > row.seq]
    if len(fresh) > 0:
        SinkCursor.objects.filter(id=row.id).update(seq=int(fresh["event"]["seq"][-1]))
    return fresh


class LedgerFollower:
    """Follows one session's journal into the ledger tables."""

    name = "ledger"

    def __init__(self, context: LoopContext) -> None:
        self.context = context
        self.session_id = context.spec.id
        self.symbols = [item.symbol for item in context.spec.instruments]
        self._looked_ns = NO_TIME
        self._over = False
        self._news = NewsTeller(context)
        self._statements, self._rolls = StatementTaker(context), RollCheck(context)
        self._overrides = OverrideEnds(context)

    def cursor(self) -> int:
        """Seq of the last frame whose rows stand."""
        with retried():
            row = SinkCursor.objects.filter(session_id=self.session_id, follower=self.name).first()
        return 0 if row is None else row.seq

    def apply(self, frames: np.ndarray) -> None:
        """Rows of these FRAMEs and the cursor, or neither.  Raises Retry."""
        with retried():
            fresh = move_cursor(self.session_id, self.name, frames)
            if len(fresh) == 0:
                return
            events = fresh["event"]
            wanted = events[np.isin(events["kind"], KEPT)]
            session = Session.objects.select_for_update().get(id=self.session_id)
            if len(wanted) > 0:
                if np.any(wanted["kind"] == kinds.COMMAND):
                    write_late()
                _Batch(session, self.symbols, timezone.now()).apply(wanted)
            session.journal_seq = int(events["seq"][-1])
            session.save(update_fields=["journal_seq", "venue_ref", "balance_micros", "version", "stated"])
        self._news.note(events)
        self._statements.note(events)
        self._rolls.note(events)
        self._overrides.note(events)

    def publish(self) -> None:
        """Once a second: the event list is told, a day that is over stated, an override's end noted, and a stopping
        session that is proved flat ended."""
        from trading.run.clock import boot_ns

        now = boot_ns()
        if self._over or (self._looked_ns != NO_TIME and now - self._looked_ns < LOOK_NS):
            return
        self._looked_ns = now
        self._news.tell()
        self._statements.look()
        self._rolls.look()
        self._overrides.look()
        try:
            with short_wait():
                self._over = finish_if_flat(self.session_id, self._statements.end)
                if self._over:
                    note_unused(self.session_id, NEVER)
        except StoreAway:
            self._over = False  # asked again in a second


class _Batch:
    """Rows of one batch, gathered first and written together."""

    def __init__(self, session: Session, symbols: list[str], now: datetime) -> None:
        self.session, self.symbols, self.now = session, symbols, now
        self.rules = session.rules  # which rulebook's codes
        self.orders: dict[int, Order] = {}
        self.new_orders: set[int] = set()
        self.fills: list[Fill] = []
        self.trades: list[Trade] = []
        self.decisions: dict[int, Decision] = {}  # the latest of each instrument, from the table or of this batch
        self.old_decisions: dict[int, Decision] = {}
        self.new_decisions: list[Decision] = []
        self.holds: list[HoldEvent] = []

    def apply(self, events: np.ndarray) -> None:
        """Gather in order, then write."""
        numbers = {int(n) for n in events["order_number"][events["kind"] != kinds.DECISION] if n > 0}
        self.orders = {o.number: o for o in Order.objects.filter(session=self.session, number__in=numbers)}
        for event in events:
            self._note(event)
        Order.objects.bulk_create([self.orders[n] for n in sorted(self.new_orders)])
        Order.objects.bulk_update([o for n, o in self.orders.items() if n not in self.new_orders], ORDER_CHANGES)
        Fill.objects.bulk_create(self.fills)
        Trade.objects.bulk_create(self.trades)
        Decision.objects.bulk_create(self.new_decisions)
        Decision.objects.bulk_update(list(self.old_decisions.values()), DECISION_CHANGES)
        HoldEvent.objects.bulk_create([hold for hold in self.holds if hold.pk is None])

    def _note(self, e: np.record) -> None:
        kind = int(e["kind"])
        if kind == kinds.DECISION:
            self._decision(e)
        elif kind == kinds.ORDER_STATE:
            self._order_state(e)
        elif kinds.ACK <= kind <= kinds.UNKNOWN_OUTCOME:
            self._answer(e, kind)
        elif kind == kinds.SUBMIT:
            self._submit(e)
        elif kind == kinds.TRADE_CLOSED:
            self._trade(e)
        elif kind in (kinds.HOLD_RAISED, kinds.HOLD_CLEARED):
            self._hold(e, kind == kinds.HOLD_RAISED)
        elif kind == kinds.COMMAND:
            self._command(e)
        elif kind == kinds.CONFIG_ACTIVE:
            self._version(e)
        elif kind == kinds.PAST:
            self._past(e)
        elif kind == kinds.TRANSFER:
            self._transfer(e)
        else:
            self._receipt(e)

    def _symbol(self, e: np.record) -> str:
        return self.symbols[int(e["instrument"])]

    def _submit(self, e: np.record) -> None:
        number = int(e["order_number"])
        self.orders[number] = Order(
            session=self.session,
            number=number,
            seq=int(e["seq"]),
            last_seq=int(e["seq"]),
            instrument=int(e["instrument"]),
            symbol=self._symbol(e),
            side=int(e["side"]),
            order_type=int(e["order_type"]),
            role=int(e["role"]),
            status=int(e["code"]),
            request=int(e["value"]),
            qty=int(e["qty"]),
            price_tick=tick(e["price_tick"]),
            stop_tick=tick(e["stop_tick"]),
            version_id=int(e["ref"]),
            scorer=self.session.scorer,
            by=self._by(e),
            sent_ns=int(e["ts_ns"]),
            changed_ns=int(e["ts_ns"]),
        )
        self.new_orders.add(number)

    def _by(self, e: np.record) -> str:
        """Whose order it is (P-22): an exit's that of who asked to close, until somebody lets the session enter again.

        Everything else is the session's own, and so of who started it.
        """
        if int(e["role"]) == kinds.EXIT:
            given = Command.objects.filter(session=self.session, seq__lt=int(e["seq"]), kind__in=CLOSING | ENTERING)
            last = given.exclude(state=states.REFUSED).order_by("-seq").first()
            if last is not None and last.kind in CLOSING:
                return last.by
        return self.session.started_by

    def _order_state(self, e: np.record) -> None:
        order = self.orders[int(e["order_number"])]
        order.last_seq, order.changed_ns = int(e["seq"]), int(e["ts_ns"])
        order.status, order.request = int(e["code"]), int(e["value"])
        order.qty, order.filled = int(e["qty"]), int(e["volume"])
        order.price_tick, order.stop_tick = tick(e["price_tick"]), tick(e["stop_tick"])

    def _answer(self, e: np.record, kind: int) -> None:
        """A venue answer counts when the kernel counted it: next in the venue's order, or without a number."""
        ref = int(e["ref"])
        if ref != 0:
            if ref != self.session.venue_ref + 1:
                return
            self.session.venue_ref = ref
        number = int(e["order_number"])
        if kind in (kinds.REJECT, kinds.CANCELLED) and number in self.orders:
            self.orders[number].code = int(e["code"])
        if kind == kinds.FILL:
            self.fills.append(
                Fill(
                    session=self.session,
                    seq=int(e["seq"]),
                    venue_ref=ref,
                    order_number=number,
                    instrument=int(e["instrument"]),
                    symbol=self._symbol(e),
                    side=int(e["side"]),
                    qty=int(e["qty"]),
                    price_tick=int(e["price_tick"]),
                    fee_micros=int(e["fee_micros"]),
                    ts_ns=int(e["ts_ns"]),
                )
            )

    def _past(self, e: np.record) -> None:
        """A balance that was told: what the account opens with, or what a person stated later."""
        code = int(e["code"])
        stated = code == PAST_STATED and self._is_unreadable()
        if stated or (code == PAST_FIGURE and FIGURES[int(e["order_number"])] == "balance_micros"):
            self.session.balance_micros = int(e["value"])
        if stated:
            figures = {name: int(e[field]) for name, field in zip(STATED, STATEMENT, strict=True)}
            self.session.stated = {"seq": int(e["seq"]), "ts_us": int(e["ts_ns"]) // 1000, **figures}

    def _transfer(self, e: np.record) -> None:
        """Money that was booked: what is in the journal is done."""
        self._move_balance(int(e["value"]))
        if e["ref"] != 0:
            Command.objects.filter(ref=int(e["ref"])).update(seq=int(e["seq"]))
            advance_command(int(e["ref"]), "receipt_done", finished_at=self.now)

    def _move_balance(self, micros: int) -> None:
        """Once each: the cursor moves in the same transaction."""
        before = self.session.balance_micros
        opened = int(self.session.spec["capital_micros"]) if before is None else before
        self.session.balance_micros = opened + micros

    def _is_unreadable(self) -> bool:
        """The kernel hears a statement under this hold alone."""
        bit = BIT["STATE_UNREADABLE"]
        if any(hold.bit == bit and hold.cleared_seq is None for hold in self.holds):
            return True
        return HoldEvent.objects.filter(session=self.session, bit=bit, cleared_seq=None).exists()

    def _trade(self, e: np.record) -> None:
        self._move_balance(int(e["value"]))
        self.trades.append(
            Trade(
                session=self.session,
                seq=int(e["seq"]),
                number=int(e["ref"]),
                instrument=int(e["instrument"]),
                symbol=self._symbol(e),
                side=int(e["side"]),
                qty=int(e["qty"]),
                entry_tick=tick(e["open_tick"]),
                exit_tick=int(e["close_tick"]),
                gross_micros=int(e["volume"]),
                fee_micros=int(e["fee_micros"]),
                net_micros=int(e["value"]),
                reason=int(e["code"]),
                opened_ns=int(e["until_ns"]),
                closed_ns=int(e["ts_ns"]),
            )
        )

    def _decision(self, e: np.record) -> None:
        """Equal refusals in a row are counted in one line; an approval always stands alone, and so does an override."""
        instrument, side, code, passed = (int(e[name]) for name in ("instrument", "side", "code", "role"))
        if instrument not in self.decisions:
            last = Decision.objects.filter(session=self.session, instrument=instrument).order_by("-seq").first()
            if last is not None:
                self.decisions[instrument] = last
        row = self.decisions.get(instrument)
        if row is None or code == 0 or row.code != code or row.side != side or passed or row.passed:
            row = Decision(session=self.session, seq=int(e["seq"]), same=0, ts_ns=int(e["ts_ns"]))
            row.instrument, row.symbol, row.side, row.code = instrument, self._symbol(e), side, code
            row.order_number, row.passed = int(e["order_number"]), passed
            row.override_ref = int(e["bid_qty"]) if passed else 0
            self.decisions[instrument] = row
            self.new_decisions.append(row)
        elif row.pk is not None:
            self.old_decisions[row.pk] = row
        row.same += 1
        row.last_seq, row.last_ns = int(e["seq"]), int(e["ts_ns"])
        row.score_ppm, row.confidence_ppm = int(e["score_ppm"]), int(e["confidence_ppm"])
        row.price_tick, row.holds = tick(e["price_tick"]), int(e["value"])

    def _hold(self, e: np.record, raised: bool) -> None:
        bit, instrument = int(e["code"]), int(e["instrument"])
        if raised:
            hold = HoldEvent(session=self.session, seq=int(e["seq"]), bit=bit, instrument=instrument)
            hold.code = hold_of(self.rules, bit).code
            hold.value, hold.limit, hold.raised_ns = int(e["value"]), int(e["volume"]), int(e["ts_ns"])
            hold.until_ns = None if e["until_ns"] == NO_TIME else int(e["until_ns"])
            hold.source = int(e["ref"])
            self.holds.append(hold)
            return
        standing = next(
            (h for h in reversed(self.holds) if (h.bit, h.instrument, h.cleared_seq) == (bit, instrument, None)), None
        )
        if standing is not None:
            standing.cleared_ns, standing.cleared_seq = int(e["ts_ns"]), int(e["seq"])
        else:
            HoldEvent.objects.filter(session=self.session, bit=bit, instrument=instrument, cleared_seq=None).update(
                cleared_ns=int(e["ts_ns"]), cleared_seq=int(e["seq"])
            )

    def _version(self, e: np.record) -> None:
        """The session's row names the version in force; the spec keeps the one that it started with."""
        if ConfigVersion.objects.filter(id=int(e["ref"])).exists():
            self.session.version_id = int(e["ref"])

    def _command(self, e: np.record) -> None:
        """The command is in the journal.  One that was given while the database was away gets its row now."""
        if e["ref"] == 0:
            return
        seq = int(e["seq"])
        if int(e["code"]) == kinds.STOP_SESSION:  # given while the database took no writes
            advance_session(self.session, "stop", stopping_at=self.now)
        if Command.objects.filter(ref=int(e["ref"])).update(seq=seq) == 0:
            Command.objects.create(
                ref=int(e["ref"]),
                session=self.session,
                kind=kinds.COMMANDS[int(e["code"])],
                argument=int(e["value"]),
                instrument=int(e["instrument"]),
                by="unknown",
                detail="given while the database was away",
                requested_at=self.now,
                seq=seq,
            )
        else:
            advance_command(int(e["ref"]), "sent", accepted_at=self.now)

    def _receipt(self, e: np.record) -> None:
        done = int(e["code"]) == kinds.RECEIPT_DONE
        if e["ref"] != 0:
            fields = {} if done else {"detail": REFUSALS.get(int(e["qty"]), "")}  # 0: a journal that did not say why
            trigger = "receipt_done" if done else "receipt_refused"
            advance_command(int(e["ref"]), trigger, finished_at=self.now, **fields)
        if int(e["value"]) == kinds.START and done:
            advance_session(self.session, "receipt")
