"""The space of a search: parameters with their values, and points in it (MES-OPT-01).

A parameter is a list of choices or a range with a step; it may exist only with certain values of choices before it.  A
point is a tuple of places in each parameter's values, ABSENT where the parameter does not exist: one class, one set of
names for every method.  Pure; values are exact.  Called by the methods of search, by trials and by reports.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

import numpy as np

from trading.research.luck.plateau import ABSENT, Axis, Point
from trading.research.records import ResearchError

Value = str | int | float | bool
VALUES_MAX = 10_000  # of one parameter
PARAMETERS_MAX = 32
COUNT_MAX = 2**62


class Parameter(NamedTuple):
    """`path`: dotted name; `ordered`: values have an order, so that neighbours mean something; `when`: (path, value)
    pairs of earlier parameters, all of which must hold for this one to exist."""

    path: str
    values: tuple[Value, ...]
    ordered: bool
    when: tuple[tuple[str, Value], ...] = ()


class Space(NamedTuple):
    """Parameters in the order in which they were declared."""

    parameters: tuple[Parameter, ...]

    def axes(self) -> list[Axis]:
        """As the plateau test wants them."""
        return [Axis(item.path, len(item.values), item.ordered) for item in self.parameters]

    def values(self, point: Point) -> dict[str, Value]:
        """What a point means: value by path, without what does not exist at it."""
        return {item.path: item.values[at] for item, at in zip(self.parameters, point, strict=True) if at != ABSENT}

    def exists(self, place: int, point: Sequence[int]) -> bool:
        """Whether the parameter at `place` exists, given the places of those before it."""
        for path, value in self.parameters[place].when:
            k = next(i for i, item in enumerate(self.parameters) if item.path == path)
            if point[k] == ABSENT or self.parameters[k].values[point[k]] != value:
                return False
        return True

    def holds(self, point: Point) -> bool:
        """Whether it is a point of this space."""
        if len(point) != len(self.parameters):
            return False
        return all(
            (0 <= at < len(item.values)) if self.exists(i, point) else at == ABSENT
            for i, (item, at) in enumerate(zip(self.parameters, point, strict=True))
        )

    def settled(self, point: Sequence[int]) -> Point:
        """The point with what does not exist made ABSENT, and what exists but has no place put at its middle."""
        found: list[int] = []
        for i, item in enumerate(self.parameters):
            at = point[i] if point[i] != ABSENT else len(item.values) // 2
            found.append(at if self.exists(i, found) else ABSENT)
        return tuple(found)

    def points(self) -> Iterator[Point]:
        """Every point, in lexical order of places."""
        yield from self._from([])

    def _from(self, begun: list[int]) -> Iterator[Point]:
        i = len(begun)
        if i == len(self.parameters):
            yield tuple(begun)
            return
        places = range(len(self.parameters[i].values)) if self.exists(i, begun) else (ABSENT,)
        for at in places:
            yield from self._from([*begun, at])

    def size(self) -> int:
        """How many points there are, without walking them all: only what others are tied to is gone through."""
        tied = {path for item in self.parameters for path, _ in item.when}
        return self._count([], tied)

    def _count(self, begun: list[int], tied: set[str]) -> int:
        i = len(begun)
        if i == len(self.parameters):
            return 1
        item = self.parameters[i]
        if not self.exists(i, begun):
            return self._count([*begun, ABSENT], tied)
        if item.path not in tied:
            return len(item.values) * self._count([*begun, 0], tied)
        return sum(self._count([*begun, at], tied) for at in range(len(item.values)))

    def random_point(self, rng: np.random.Generator) -> Point:
        """One point; every parameter is drawn by itself."""
        found: list[int] = []
        for i, item in enumerate(self.parameters):
            found.append(int(rng.integers(len(item.values))) if self.exists(i, found) else ABSENT)
        return tuple(found)

    def neighbours(self, point: Point) -> list[Point]:
        """Every point one step away along a parameter that has an order (MES-OPT-06)."""
        return [
            (*point[:i], at + step, *point[i + 1 :])
            for i, (item, at) in enumerate(zip(self.parameters, point, strict=True))
            if item.ordered and at != ABSENT
            for step in (-1, 1)
            if 0 <= at + step < len(item.values)
        ]


def space_of(declared: Mapping[str, object]) -> Space:
    """What a file declares: {path: [choices] or {from, to, step, unit, when} or {choices, when}} → the space.

    Raises ResearchError: one sentence for the first fault.
    """
    if not declared:
        raise ResearchError("there is no parameter to search: give --param PATH=1..9/2 or --space FILE")
    if len(declared) > PARAMETERS_MAX:
        raise ResearchError(f"{len(declared)} parameters are more than the {PARAMETERS_MAX} that can be searched")
    found: list[Parameter] = []
    for path, how in declared.items():
        found.append(_parameter(str(path), how, found))
    space = Space(tuple(found))
    if space.size() > COUNT_MAX:
        raise ResearchError("the space has more points than can be counted; take larger steps")
    return space


def flag_of(text: str) -> tuple[str, object]:
    """`PATH=1..9/2`, `PATH=60..85/5 %` or `PATH=fixed,atr` → (path, as a file would say it).  Raises ResearchError."""
    path, equals, value = text.partition("=")
    if not equals or not path or not value.strip():
        raise ResearchError(f"--param {text!r} is neither PATH=FROM..TO/STEP nor PATH=A,B,C")
    first, dots, rest = value.partition("..")
    if not dots:
        return path, [_scalar(word.strip()) for word in value.split(",")]
    last, slash, step = rest.partition("/")
    if not slash:
        raise ResearchError(f"--param {text!r} has no step: write {path}={value}/STEP")
    amount, _, unit = step.strip().partition(" ")
    return path, {"from": first.strip(), "to": last.strip(), "step": amount, "unit": unit.strip()}


def _parameter(path: str, how: object, before: Sequence[Parameter]) -> Parameter:
    if any(item.path == path for item in before):
        raise ResearchError(f"{path} is declared twice")
    if isinstance(how, list):
        return Parameter(path, _choices(path, how), False)
    if not isinstance(how, Mapping):
        raise ResearchError(f"{path}: give a list of choices, or from, to and step")
    given = dict(how)
    when = _tied(path, given.pop("when", {}), before)
    if "choices" in given:
        choices = given.pop("choices")
        _nothing_left(path, given)
        if not isinstance(choices, list):
            raise ResearchError(f"{path}: its choices are no list")
        return Parameter(path, _choices(path, choices), False, when)
    values = _range(path, given)
    return Parameter(path, values, True, when)


def _nothing_left(path: str, given: Mapping[str, object]) -> None:
    if given:
        raise ResearchError(f"{path}: {next(iter(given))!r} is none of choices, from, to, step, unit and when")


def _choices(path: str, values: list[object]) -> tuple[Value, ...]:
    if not values:
        raise ResearchError(f"{path} has no choices")
    for value in values:
        if not isinstance(value, str | int | float | bool) or (isinstance(value, float) and not math.isfinite(value)):
            raise ResearchError(f"{path}: {value!r} is no choice; give numbers, words, true or false")
    if len(values) > VALUES_MAX or len({(type(value), value) for value in values}) != len(values):
        raise ResearchError(f"{path} has a choice twice, or more than {VALUES_MAX:,} of them")
    return tuple(values)  # type: ignore[arg-type]


def _range(path: str, given: dict[str, object]) -> tuple[Value, ...]:
    """Exact: decimals are counted, not added up as floats.  Whole numbers stay whole; a unit makes words of them."""
    missing = [name for name in ("from", "to", "step") if name not in given]
    if missing:
        raise ResearchError(f"{path} lacks {', '.join(missing)}: a range has from, to and step")
    first, last, step = (_number(path, name, given.pop(name)) for name in ("from", "to", "step"))
    unit = str(given.pop("unit", "") or "")
    _nothing_left(path, given)
    if step <= 0 or last < first:
        raise ResearchError(f"{path}: from {first} to {last} by {step} is no range upward")
    count = int((last - first) / step) + 1
    if count > VALUES_MAX:
        raise ResearchError(f"{path} has {count:,} values, {VALUES_MAX:,} at most: take a larger step")
    if first + (count - 1) * step != last:
        raise ResearchError(
            f"{path}: {last} is not reached from {first} in steps of {step}; the last is {first + (count - 1) * step}"
        )
    numbers = [first + k * step for k in range(count)]
    if unit:
        return tuple(f"{number:f} {unit}" for number in numbers)
    whole = all(number == number.to_integral_value() for number in (first, step))
    return tuple(int(number) if whole else float(number) for number in numbers)


def _number(path: str, name: str, value: object) -> Decimal:
    try:
        number = Decimal(str(value)) if not isinstance(value, bool) else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise ResearchError(f"{path}: {name} {value!r} is no number; a unit stands beside it, like unit: '%'")
    return number


def _tied(path: str, given: object, before: Sequence[Parameter]) -> tuple[tuple[str, Value], ...]:
    if not isinstance(given, Mapping):
        raise ResearchError(f"{path}: when is a list of PATH: VALUE")
    found: list[tuple[str, Value]] = []
    for other, value in given.items():
        known = next((item for item in before if item.path == other), None)
        if known is None:
            raise ResearchError(f"{path} is tied to {other}, which is not declared before it")
        if known.ordered:
            raise ResearchError(f"{path} is tied to {other}, which is a range: a parameter is tied to a choice alone")
        if value not in known.values:
            raise ResearchError(f"{path} is tied to {other} = {value!r}, which is none of its values")
        found.append((str(other), value))
    return tuple(found)


def _scalar(word: str) -> Value:
    if word in ("true", "false"):
        return word == "true"
    for kind in (int, float):
        try:
            number = kind(word)
        except ValueError:
            continue
        return number if math.isfinite(number) else word
    return word
