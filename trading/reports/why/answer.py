"""Why, or why not, at one moment of a session: the decision with every rule's margin, or why there was none (N6).

The journal is the truth: the kernel is brought to the very input and the gate's own rules are asked again for how far
each was from its limit.  A form that does not reproduce the recorded decision is never shown as one that does.  Reads
files only; called by the page, its CSV and `manage.py why`.
"""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from risk.core import codes
from risk.core.codes import APPROVED
from risk.core.gate import code_name
from risk.core.holds import BY_BIT, EFFECTS, ENTRY_MASK, HOLD_CAPACITY, LABELS
from risk.core.records import UNKNOWN
from risk.margins import Answer, Form, Gauge, measure
from trading.core.records import DECISION, SCORE
from trading.reports.why.find import Journal, Step, form_of, limits_at, of, step_of
from trading.reports.why.quiet import NEAR_NS, Cause, causes
from trading.reports.why.words import About, gauge_words, reason, saw, sentence
from trading.run.bodies.snapshot import account_value, order_row, tick, us
from trading.run.spec import SessionSpec, load_spec
from trading.run.versions import load_names

MONEY = (
    "day_net_micros", "equity_micros", "reference_micros", "capital_micros", "open_risk_micros", "gross_micros",
    "margin_elsewhere_micros",
)  # fmt: skip
ATTENTION_PCT = 80  # of a limit


class Row(NamedTuple):
    """One rule as a table shows it, in the order of the rulebook."""

    place: int
    rule: str
    control: str
    text: str
    verdict: str  # passes, refuses, let pass, not asked
    reached: bool
    reason: str
    saw: str
    gauges: list[dict[str, Any]]


class Decided(NamedTuple):
    """One decision.  `proven`: the rules, asked again on the replayed form, gave the recorded answer.

    What is not proven is what the journal itself says of the decision, and nothing of the replay.
    """

    seq: int
    cause_seq: int
    ts_us: int
    symbol: str
    side: int
    code: int
    verdict: str
    refusing: Row | None
    sentence: str
    score_ppm: int
    confidence_ppm: int
    score_us: int | None
    qty: int
    price_tick: int | None
    order_number: int
    overridden: str  # the reason that two persons let pass, by the command `override_ref` (P-27)
    override_ref: int
    continued: bool  # no score of its own: a reversal whose exit was filled
    version: str
    version_id: int
    inputs_sha256: str
    same: bool
    proven: bool
    rows: list[Row]
    holds: list[dict[str, Any]]
    orders: list[dict[str, Any]]
    position: int
    money: dict[str, int | None]
    account: dict[str, Any]


class Why(NamedTuple):
    """The answer.  `decided` with the nearest decision; without one `quiet` says why there was none."""

    asked_us: int | None
    first_us: int
    last_us: int
    last_seq: int
    decided: Decided | None
    quiet: list[Cause]
    previous: tuple[int, int] | None  # seq and µs of the decision before; None: none is near
    following: tuple[int, int] | None


def why(folder: Path, *, at_us: int | None = None, seq: int | None = None) -> Why:
    """The decision `seq`, or the one nearest to `at_us` (session clock, at most a minute away); default: the last one.

    Raises NoJournal, JournalBroken, SpecError; LookupError when `seq` is no decision.
    """
    journal, spec = Journal(folder), load_spec(folder)
    if seq is not None:
        event = journal.decision(seq)
        if len(event) == 0:
            raise LookupError(f"journal {seq} is no decision")
    else:
        event = journal.nearest(journal.last_us if at_us is None else at_us)
    far = at_us is not None and len(event) > 0 and abs(int(event["ts_ns"][0]) - at_us * 1000) > NEAR_NS
    ends = (at_us, journal.first_us, journal.last_us, journal.last_seq)
    if len(event) == 0 or far:
        at = journal.last_us if at_us is None else at_us
        here = journal.seq_at(at)
        around = (_place(journal.last_of(of(DECISION), here)), _place(journal.first_of(of(DECISION), here)))
        return Why(*ends, None, causes(journal, spec, at), *around)
    number = int(event["seq"][0])
    decided = _decided(folder, spec, step_of(journal, number), event[0])
    before, behind = journal.last_of(of(DECISION), number - 1), journal.first_of(of(DECISION), number)
    return Why(*ends, decided, [], _place(before), _place(behind))


def _place(event: np.ndarray) -> tuple[int, int] | None:
    return (int(event["seq"][0]), int(event["ts_ns"][0]) // 1000) if len(event) > 0 else None


def _decided(folder: Path, spec: SessionSpec, step: Step, event: np.record) -> Decided:
    item = spec.instruments[int(event["instrument"])]
    about = About(item.symbol, item.values["tick_nanos"], spec.currency)
    form, answers, proven = _measured(step, event)
    rows = [_row(answer, form, about) for answer in answers]
    first = next((i for i, answer in enumerate(answers) if answer.verdict == "refuses"), None)
    refusing = rows[first] if proven and first is not None and event["code"] != APPROVED else None
    words = sentence(answers[first], form, about) if refusing is not None and first is not None else ""
    version = int(step.before.state.account[0].version)
    return Decided(
        seq=int(event["seq"]),
        cause_seq=int(step.cause["seq"][0]),
        ts_us=int(event["ts_ns"]) // 1000,
        symbol=item.symbol,
        side=int(event["side"]),
        code=int(event["code"]),
        verdict=code_name(form.rules, int(event["code"])),
        refusing=refusing,
        sentence=words,
        score_ppm=int(event["score_ppm"]),
        confidence_ppm=int(event["confidence_ppm"]),
        score_us=us(event["ts_venue_ns"]),
        qty=int(event["qty"]),
        price_tick=tick(event["price_tick"]),
        order_number=int(event["order_number"]),
        overridden=code_name(form.rules, int(event["role"])) if event["role"] else "",
        override_ref=int(event["bid_qty"]) if event["role"] else 0,
        continued=bool(step.cause["kind"][0] != SCORE),
        version=load_names(folder).get(version, f"version {version}" if version else ""),
        version_id=version,
        inputs_sha256=inputs_digest(form) if proven else "",
        same=step.same,
        proven=proven,
        rows=rows if proven else [],
        holds=_holds(step, form) if proven else [],
        orders=_orders(step) if proven else [],
        position=int(event["volume"]),
        money={name: None if not proven or form[name] == UNKNOWN else form[name] for name in MONEY},
        account=account_value(step.before) if proven else {},
    )


def inputs_digest(form: Form) -> str:
    """SHA-256 over everything that the gate could look at, and every limit in force."""
    form.x.bad_field, form.x.passed = -1, APPROVED  # the gate's own notes, no inputs
    return hashlib.sha256(form.asking.tobytes() + form.limits.tobytes()).hexdigest()


def _measured(step: Step, event: np.record) -> tuple[Form, tuple[Answer, ...], bool]:
    """Form and answers of one decision.  True: the form is its own, and the rules give its recorded reason."""
    form = Form(form_of(step, int(event["seq"])), limits_at(step, int(event["seq"])))
    if not step.same or not _is_of(form, event):
        return form, (), False
    answers = measure(form)
    return form, answers, _gives(answers, int(event["code"]))


def _is_of(form: Form, event: np.record) -> bool:
    """Whether the DECISION row could have been written from this form (see `policy._decision`)."""
    pairs = {
        "now_ns": "ts_ns", "side": "side", "score_ppm": "score_ppm", "confidence_ppm": "confidence_ppm", "qty": "qty",
        "price_tick": "price_tick", "bid_tick": "bid_tick", "ask_tick": "ask_tick", "position": "volume",
        "quote_ts_ns": "until_ns", "score_ts_ns": "ts_venue_ns",
    }  # fmt: skip
    equal = all(form[name] == int(event[field]) for name, field in pairs.items())
    equal = equal and int(form.x.passed) == int(event["role"])
    return equal and (form["holds"] | form["instrument_holds"]) == int(event["value"])


def _gives(answers: tuple[Answer, ...], code: int) -> bool:
    """Whether the first refusing rule gives the recorded reason; the policy renames one of them (MES-REV-03)."""
    first = next((answer.code for answer in answers if answer.verdict == "refuses"), APPROVED)
    return first == code or (code == codes.REVERSAL_LIMIT and first == codes.IN_POSITION)


def _tone(gauge: Gauge) -> str:
    """bad: the limit is missed; warn: it is nearly used up."""
    if gauge.left < 0:
        return "bad"
    return "warn" if (gauge.pct or 0) >= ATTENTION_PCT and not gauge.at_least else ""


def _row(answer: Answer, form: Form, about: About) -> Row:
    gauges = [
        {**gauge_words(gauge, about), "name": gauge.limit.name, "value": gauge.value, "used_value": gauge.used,
         "left_value": gauge.left, "unit": gauge.limit.kind, "pct": gauge.pct, "tone": _tone(gauge),
         "bar": min(100, round(gauge.pct or 0))}
        for gauge in answer.gauges
    ]  # fmt: skip
    return Row(
        place=answer.place,
        rule=answer.rule.function.__name__,
        control=answer.rule.control,
        text=answer.rule.text,
        verdict=answer.verdict,
        reached=answer.reached,
        reason=reason(answer, form.rules),
        saw=saw(answer, form, about),
        gauges=gauges,
    )


def _holds(step: Step, form: Form) -> list[dict[str, Any]]:
    """Holds that the gate saw, strongest label first: standing, or due because their limit was in breach."""
    seen = form["holds"] | form["instrument_holds"]
    standing = int(step.after.state.account[0].holds) | int(step.before.state.account[0].holds)
    found = []
    for bit in range(HOLD_CAPACITY):
        hold = BY_BIT[form.rules].get(bit)
        if not seen >> bit & 1 or hold is None:
            continue
        up = step.after.state.holds[bit]
        stands = bool(standing >> bit & 1)
        row: dict[str, Any] = {"code": hold.code, "effect": EFFECTS[hold.effect], "label": LABELS[hold.label]}
        row |= {"text": hold.trigger, "stops": bool(int(ENTRY_MASK[form.rules]) >> bit & 1), "due": not stands}
        row |= {"since_us": us(up.since_ns) if stands else None, "until_us": us(up.until_ns) if stands else None}
        found.append((hold.label, row))
    return [row for _label, row in sorted(found, key=lambda pair: pair[0])]


def _orders(step: Step) -> list[dict[str, Any]]:
    """Orders that worked just before the decision, newest first."""
    orders: Any = step.before.state.orders
    rows = [order_row(order) for order in orders[orders["number"] > 0]]
    return sorted((row for row in rows if row["live"]), key=lambda row: -row["oid"])
