"""The journal's way into the audit log: commands, holds, configuration, orders sent, overrides that were used, memory
that was given back, the network's health, and the state of the session.

Stands beside the ledger's follower with a cursor of its own; rows and cursor move in one transaction, so nothing is
audited twice.  Called by the sinks loop through `settings.SINK_FOLLOWERS`.
"""

from collections.abc import Iterator

import numpy as np

from desk.audit.models import AuditRecord
from desk.audit.services import Entry, append_many
from marketdata.core.records import METRIC
from marketdata.engine.telling import BY_INFERENCE, METRIC_MEMORY
from risk.core.codes import APPROVED
from risk.core.costs import fee_differs
from risk.core.gate import code_name
from risk.core.holds import LABELS, hold_of
from risk.core.shares import hedging
from trading.core import records as kinds
from trading.core.past import PAST_SOURCE
from trading.core.states import REFUSALS
from trading.models import Command, SinkCursor
from trading.run.context import LoopContext
from trading.sinks import move_cursor, retried

LINKS = {
    kinds.LINK_EXECUTION: "execution",
    kinds.LINK_DATABASE: "database",
    kinds.LINK_STREAM: "streams",
    kinds.LINK_LATCH: "latch",
}
SENT = {kinds.SUBMIT: "submit", kinds.CANCEL: "cancel", kinds.MODIFY: "modify"}
KEPT = (
    *SENT,
    kinds.COMMAND,
    kinds.RECEIPT,
    kinds.HOLD_RAISED,
    kinds.HOLD_CLEARED,
    kinds.CONFIG_ACTIVE,
    kinds.LINK,
    kinds.PAST,
    kinds.ADJUSTMENT,
    kinds.ROUTE_FAILOVER,
    kinds.FILL,
    kinds.DRIFT,
)


class AuditFollower:
    """Follows one session's journal into the audit log."""

    name = "audit"

    def __init__(self, context: LoopContext) -> None:
        self.session_id, self.key = context.spec.id, context.spec.key
        self.rules = context.spec.limits.get("rules", 0)  # which rulebook's codes
        self.symbols = [item.symbol for item in context.spec.instruments]
        self.fees = [(item.values["fee_micros"], item.values["fee_ppm"]) for item in context.spec.instruments]
        self._told_fees: set[int] = set()  # of the batch that is written; what stands is in the rows

    def cursor(self) -> int:
        """Seq of the last frame that was audited."""
        with retried():
            row = SinkCursor.objects.filter(session_id=self.session_id, follower=self.name).first()
        return 0 if row is None else row.seq

    def apply(self, frames: np.ndarray) -> None:
        """Audit these FRAMEs and move the cursor, or neither.  Raises Retry."""
        with retried():
            fresh = move_cursor(self.session_id, self.name, frames)
            events = fresh["event"]
            self._told_fees.clear()
            used = (events["kind"] == kinds.DECISION) & (events["role"] > 0)  # an override (P-27)
            acted = (events["kind"] == METRIC) & (events["code"] == METRIC_MEMORY)
            fine = (events["kind"] == kinds.DRIFT) & (events["code"] == kinds.DRIFT_NONE)
            entries = list(self._entries(events[acted | used | (np.isin(events["kind"], KEPT) & ~fine)]))
            if entries:
                append_many(entries)

    def publish(self) -> None:
        """Nobody waits for the audit log."""

    def _entries(self, events: np.ndarray) -> Iterator[Entry]:
        refs = [int(e["ref"]) for e in events if e["kind"] in (kinds.COMMAND, kinds.RECEIPT)]
        refs += [int(e["bid_qty"]) for e in events if e["kind"] == kinds.DECISION]
        people = {c.ref: c for c in Command.objects.filter(ref__in=refs)}
        for e in events:
            kind = int(e["kind"])
            base: dict[str, object] = {"seq": int(e["seq"]), "session_ns": int(e["ts_ns"])}
            if kind in (kinds.COMMAND, kinds.RECEIPT):
                yield self._command(e, people.get(int(e["ref"])), base)
            elif kind in SENT:
                yield self._order(e, base)
            elif kind == kinds.DECISION:
                yield self._override(e, people.get(int(e["bid_qty"])), base)
            elif kind in (kinds.HOLD_RAISED, kinds.HOLD_CLEARED):
                hold = hold_of(self.rules, int(e["code"]))
                base |= {"label": LABELS[hold.label], "value": int(e["value"]), "limit": int(e["volume"])}
                action = "raised" if kind == kinds.HOLD_RAISED else "cleared"
                whose = f"{self.symbols[int(e['instrument'])]} " if int(e["instrument"]) >= 0 else ""
                yield Entry("hold", action, "desk", f"{self.key} {whose}{hold.code}", base)
            elif kind == kinds.ADJUSTMENT:
                yield self._adjustment(e, base)
            elif kind == kinds.ROUTE_FAILOVER:
                yield Entry("recovery", "route_failover", "desk", self.key, base | {"episode": int(e["ref"])})
            elif kind == kinds.CONFIG_ACTIVE:
                base |= {"version": int(e["ref"]), "waits_for_flat": int(e["value"])}
                yield Entry("config", "in_force", "desk", self.key, base)
            elif kind == kinds.DRIFT:
                yield from self._health(e, base)
            elif kind == kinds.FILL:
                yield from self._fee(e, base)
            elif kind == METRIC:
                base |= {"resident_bytes": int(e["value"])}
                whose = "inference" if e["role"] == BY_INFERENCE else "feed"
                action = "memory_soft" if e["qty"] == 1 else "memory_hard"
                yield Entry("recovery", action, "desk", f"{self.key} {whose}", base)
            elif kind == kinds.PAST:
                if e["code"] == PAST_SOURCE:
                    base |= {"session": int(e["ref"]), "its_seq": int(e["order_number"])}
                    yield Entry("session", "continues", "desk", self.key, base)
            else:
                link = LINKS.get(int(e["code"]), str(e["code"]))
                yield Entry(
                    "recovery", "link_up" if e["value"] == 1 else "link_down", "desk", f"{self.key} {link}", base
                )

    def _command(self, e: np.record, row: Command | None, base: dict[str, object]) -> Entry:
        by = row.by if row is not None else "desk"
        about = self.key
        if e["kind"] == kinds.COMMAND:
            name = kinds.COMMANDS[int(e["code"])]
            if int(e["code"]) == kinds.OVERRIDE:
                base |= {"let_pass": code_name(self.rules, int(e["value"])), "until_ns": int(e["until_ns"])}
            if int(e["instrument"]) >= 0:
                base |= {"instrument": int(e["instrument"]), "tick": int(e["value"])}
            return Entry(
                "command", name, by, about, base | {"reason": row.reason if row is not None else "by the desk itself"}
            )
        name = kinds.COMMANDS[int(e["value"])]
        done = int(e["code"]) == kinds.RECEIPT_DONE
        if not done:
            base |= {"why": REFUSALS.get(int(e["qty"]), "")}
        category = "session" if done and int(e["value"]) in (kinds.START, kinds.STOP_SESSION, kinds.KILL) else "command"
        return Entry(category, f"{name}_done" if done else f"{name}_refused", by, about, base)

    def _override(self, e: np.record, row: Command | None, base: dict[str, object]) -> Entry:
        """The decision that used an override, whatever came of it; both persons stand in the reason (P-27)."""
        base |= {"let_pass": code_name(self.rules, int(e["role"])), "decided": code_name(self.rules, int(e["code"]))}
        base |= {"command": int(e["bid_qty"]), "side": int(e["side"]), "qty": int(e["qty"])}
        base |= {"order": int(e["order_number"]), "reason": row.reason if row is not None else ""}
        by = row.by if row is not None else "desk"
        return Entry("control", "override_used", by, f"{self.key} {self.symbols[int(e['instrument'])]}", base)

    def _health(self, e: np.record, base: dict[str, object]) -> Iterator[Entry]:
        """A network that does not look as when it was made, and what that stops (MOEX-MON-03, -09)."""
        base |= {"worst_micro_sigma": int(e["value"]), "pairs": int(e["qty"]), "outside": int(e["ref"])}
        base |= {"hits_ppm": int(e["score_ppm"]), "calibration_error_ppm": int(e["confidence_ppm"])}
        yield Entry("control", "data_drift", "desk", self.key, base)
        if e["code"] == kinds.DRIFT_CRITICAL:
            yield Entry("control", "circuit_breaker", "desk", self.key, base)

    def _fee(self, e: np.record, base: dict[str, object]) -> Iterator[Entry]:
        """An alert where the broker booked another fee than the table says (MES-COST-02); one that is a share of the
        value has no table of a side."""
        table, share_ppm = self.fees[int(e["instrument"])]
        booked, qty = int(e["fee_micros"]), int(e["qty"])
        if share_ppm == 0 and fee_differs(booked, table, qty):
            base |= {"booked_micros": booked, "table_micros": table * qty, "qty": qty, "ref": int(e["ref"])}
            symbol = self.symbols[int(e["instrument"])]
            about = f"{self.key} {symbol} #{int(e['order_number'])}"
            if not self._is_told(about, int(e["ref"])):
                yield Entry("order", "fee_differs", "venue", about, base)

    def _is_told(self, about: str, ref: int) -> bool:
        """Whether this execution was told already: after a restart the venue gives its answers again, and the journal
        has them twice.  One without the venue's number is always another one."""
        if ref == 0:
            return False
        known = ref in self._told_fees
        self._told_fees.add(ref)
        rows = AuditRecord.objects.filter(category="order", action="fee_differs", object=about)
        return known or rows.filter(detail__ref=ref).exists()

    def _adjustment(self, e: np.record, base: dict[str, object]) -> Entry:
        """What the hedging task did, why, and what refused a hedge (MOEX-HEDGE-05)."""
        base |= {"side": int(e["side"]), "qty": int(e["qty"]), "task_ns": int(e["until_ns"])}
        base |= {"reason": hedging.reason_text(int(e["ref"]), int(e["value"]), int(e["volume"]))}
        base |= {"size_micros": int(e["value"]), "of_micros": int(e["volume"])}
        if e["score_ppm"] != APPROVED:
            base |= {"refused": code_name(self.rules, int(e["score_ppm"]))}
        action = hedging.ACTIONS[int(e["code"])].lower()
        return Entry("order", action, "desk", f"{self.key} {self.symbols[int(e['instrument'])]}", base)

    def _order(self, e: np.record, base: dict[str, object]) -> Entry:
        base |= {
            "side": int(e["side"]),
            "qty": int(e["qty"]),
            "role": kinds.ROLES[int(e["role"])],
            "version": int(e["ref"]),
        }
        base["type"] = kinds.ORDER_TYPES[int(e["order_type"])]
        symbol = self.symbols[int(e["instrument"])]
        return Entry("order", SENT[int(e["kind"])], "desk", f"{self.key} {symbol} #{int(e['order_number'])}", base)
