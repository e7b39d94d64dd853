"""How far every rule of the gate is from changing its mind, found by asking the rules themselves once more.

No limit and no comparison is written here.  A rule is asked with one of its limits tightened step by step: the tightest
value at which it would not object is what the entry uses of that limit.  Which limits and fields a rule reads is taken
from its own code.  Nothing here decides; called by whoever explains a decision that was made (N6).
"""

import dis
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from risk.core.asking import ASK_FIELDS, HIGH, LOW
from risk.core.codes import APPROVED
from risk.core.gate import RULES, Rule, ask_alone, order_of
from risk.core.records import LIMIT_DIRECTION, LIMIT_FIELDS, LIMIT_INDEX, LIMIT_OFF, MES, MOEX, UNKNOWN, UNSET
from risk.schema import FIELDS, SWITCH, Limit

# Numbers that a rule computes with, but that say how much is assumed or kept, not how far something may go.
ASSUMED = ("slip_ticks_assumed", "messages_reserved")
# The collar only looks whether the spread is too wide for a mid: the rule `spread` is the one that limits it.
ELSEWHERE = {("collar", "spread_ticks_max")}
PASSES, REFUSES, NOT_ASKED = "passes", "refuses", "not asked"
LET_PASS = "let pass"  # it refused, and two persons had said that it may (P-27)


class Gauge(NamedTuple):
    """One limit of one rule.  `used`: the tightest value of it at which the rule would not object, in LIMITS' own unit.

    `left`: how much of the limit is left, negative by how much it is missed.  `at_least`: the limit is a minimum.
    `beyond`: it would pass the tightest value that a profile can hold, so that `used` is only a bound.
    """

    limit: Limit
    value: int
    used: int
    left: int
    at_least: bool
    beyond: bool

    @property
    def pct(self) -> float | None:
        """How much of the limit is used; for a minimum, how much of what there is the limit asks for."""
        part, whole = (self.value, self.used) if self.at_least else (self.used, self.value)
        return 100 * max(0, part) / whole if whole > 0 else None


class Answer(NamedTuple):
    """One rule.  `place`: its place in the order of the rulebook, from 1.  `reached`: the gate asked it.

    `code`: its reason, 0 for no objection, None where it cannot be asked: `blind` names the fields that it needs and
    that were not known, or not within their bounds.  `overridden`: its refusal was let pass.
    """

    rule: Rule
    place: int
    reached: bool
    code: int | None
    gauges: tuple[Gauge, ...]
    blind: tuple[str, ...]
    overridden: bool = False

    @property
    def verdict(self) -> str:
        """passes, refuses, let pass or not asked."""
        if self.code is None:
            return NOT_ASKED
        if self.overridden:
            return LET_PASS
        return PASSES if self.code == APPROVED else REFUSES


class Form:
    """What the gate saw of one entry: the ASK record (1,) and the LIMITS record (1,), copied."""

    def __init__(self, asking: np.ndarray, limits: np.ndarray) -> None:
        self.asking, self.limits = asking.copy(), limits.copy()
        self.x, self.values = self.asking[0], self.asking.view("<i8")
        self.limit_values = self.limits.view("<i8")

    def __getitem__(self, name: str) -> int:
        """One field of the form."""
        return int(self.values[ASK_FIELDS.index(name)])

    def limit(self, name: str) -> int:
        """One limit in force."""
        return int(self.limit_values[LIMIT_INDEX[name]])

    @property
    def rules(self) -> int:
        """Whose rulebook asks; the futures' one while nobody has said (as in `gate.approve`)."""
        rules = self.limit("rules")
        return rules if rules in (MES, MOEX) else MES

    def ask(self, number: int) -> int:
        """What RULES[number] says by itself."""
        return int(ask_alone(number, self.x, self.values, self.limits[0]))

    def blind(self) -> set[str]:
        """Fields that are outside their bounds, or that say "not known".  A time may be "never": rules expect that."""
        outside = (self.values[: len(LOW)] < LOW) | (self.values[: len(HIGH)] > HIGH)
        unknown = self.values[: len(LOW)] == UNKNOWN
        return {
            name
            for name, bad, lacking in zip(ASK_FIELDS, outside.tolist(), unknown.tolist(), strict=True)
            if bad or (lacking and not name.endswith("_ns"))
        }


def _names(function: Callable[..., Any]) -> set[str]:
    """Every attribute that a rule's own code asks for, and that of the room's functions which it calls."""
    plain = getattr(function, "py_func", function)
    found = set()
    for step in dis.get_instructions(plain):
        if step.opname == "LOAD_ATTR":
            found.add(str(step.argval))
        elif step.opname == "LOAD_GLOBAL":
            called = plain.__globals__.get(step.argval)
            if getattr(getattr(called, "py_func", called), "__module__", None) == plain.__module__:
                found |= _names(called) if callable(called) else set()
    return found


def _gauged(rule: Rule, names: set[str]) -> tuple[str, ...]:
    own = rule.function.__name__
    return tuple(
        row.name
        for row in FIELDS
        if row.name in names
        and LIMIT_DIRECTION[LIMIT_INDEX[row.name]] != 0
        and row.kind != SWITCH
        and row.name not in ASSUMED
        and (own, row.name) not in ELSEWHERE
    )


_ROW = {row.name: row for row in FIELDS}
_NAMES = tuple(_names(rule.function) for rule in RULES)
READS = tuple(tuple(name for name in ASK_FIELDS if name in names) for names in _NAMES)
LIMITED = tuple(_gauged(rule, names) for rule, names in zip(RULES, _NAMES, strict=True))
_ANY_LIMIT = tuple(bool(names & set(LIMIT_FIELDS)) for names in _NAMES)


def ends(name: str) -> tuple[int, int]:
    """(tightest, loosest) value of a limit that a rule is asked with: one step past what a profile can hold, so that
    "nothing is used" is found, too.  A limit that 0 switches off is loosest there."""
    row, index = _ROW[name], LIMIT_INDEX[name]
    if LIMIT_DIRECTION[index] < 0:
        return row.high + 1, min(0, row.low)
    return (1, 0) if LIMIT_OFF[index] else (-1, row.high)


def measure(form: Form) -> tuple[Answer, ...]:
    """Every rule in the order of the form's rulebook, each asked alone, with the gauges of its limits."""
    found: list[Answer] = []
    blind, known, over, passed = form.blind(), form["limits_known"] == 1, False, int(form.x.passed)
    for place, rule in enumerate(order_of(form.rules), 1):
        number = RULES.index(rule)
        missing: tuple[str, ...] = ()
        if over:  # behind the first refusal nobody has made sure that a rule has what it computes with
            missing = tuple(name for name in READS[number] if name in blind)
            missing += ("limits_known",) if not known and _ANY_LIMIT[number] and not missing else ()
        if missing:
            found.append(Answer(rule, place, False, None, (), missing))
            continue
        code = form.ask(number)
        gauges = _gauges(form, number) if known and not blind & set(READS[number]) else ()
        overridden = not over and code == passed != APPROVED
        found.append(Answer(rule, place, not over, code, gauges, (), overridden))
        passed = APPROVED if overridden else passed  # once
        over = over or (code != APPROVED and not overridden)
    return tuple(found)


def _gauges(form: Form, number: int) -> tuple[Gauge, ...]:
    """The limits of one rule, each looked at with its other limits wide open; those without a say are left out."""
    names = LIMITED[number]
    kept = {name: form.limit(name) for name in names}
    found = []
    for name in names:
        index = LIMIT_INDEX[name]
        if kept[name] == UNSET or (kept[name] == 0 and LIMIT_OFF[index]):
            continue
        for other in names:
            form.limit_values[LIMIT_INDEX[other]] = ends(other)[1]
        used = _turning_point(form, number, index, *_span(name))
        for other, value in kept.items():
            form.limit_values[LIMIT_INDEX[other]] = value
        if used is not None:
            found.append(_gauge(name, kept[name], used))
    return tuple(found)


def _span(name: str) -> tuple[int, int]:
    """Where the turning point is looked for: of a limit that 0 switches off, among its real values."""
    tight, loose = ends(name)
    return (tight, _ROW[name].high) if LIMIT_OFF[LIMIT_INDEX[name]] else (tight, loose)


def _turning_point(form: Form, number: int, index: int, tight: int, loose: int) -> int | None:
    """The tightest value of a limit at which the rule does not object; None when the limit has no say.

    A tighter limit never approves more (`loosens`), so the answers change once between the ends.
    """

    def passes(value: int) -> bool:
        form.limit_values[index] = value
        return form.ask(number) == APPROVED

    if not passes(loose):
        return None  # whatever this limit were: something else stands in the way
    if passes(tight):
        return tight if LIMIT_DIRECTION[index] < 0 and _has_say(form, number, index) else None
    while abs(tight - loose) > 1:
        middle = (tight + loose) // 2
        if passes(middle):
            loose = middle
        else:
            tight = middle
    return loose


def _has_say(form: Form, number: int, index: int) -> bool:
    """Whether an absurdly tight minimum would refuse: then the entry is merely far beyond what a profile can ask."""
    form.limit_values[index] = 2**61
    return form.ask(number) != APPROVED


def _gauge(name: str, value: int, used: int) -> Gauge:
    at_least = bool(LIMIT_DIRECTION[LIMIT_INDEX[name]] < 0)
    beyond = at_least and used > _ROW[name].high
    used = min(used, _ROW[name].high) if beyond else used
    return Gauge(_ROW[name], value, used, used - value if at_least else value - used, at_least, beyond)
