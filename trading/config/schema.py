"""The schema of a profile: each package's section composed, YAML in and out, and its hash.

A profile is checked as a whole; every fault names its path and is one sentence, all faults come together.  Nothing
here reads or writes the database: `trading.configs` keeps versions of what this module has checked.
"""

import difflib
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from marketdata.calendars import ALL_HOURS, MOEX
from marketdata.calendars import SCHEDULES as FUTURES_SCHEDULES
from marketdata.core.instruments import INSTRUMENTS
from risk.contradictions import Market, contradictions
from risk.schema import BY_KEY, CURRENCIES, RiskSection
from trading.config.watching import TIME_UNITS, Section, WatchSection, time_ns

SCHEDULES = (ALL_HOURS, *FUTURES_SCHEDULES, MOEX)
# keys of `risk` that came later, each with the value at which nothing changes: what was stored before them stays as it
# is, and keeps its hash
LATER: dict[str, str | int] = {
    "hedge_every": "0 s",
    "hedge_min_net": "10 %",
    "hedge_max_cost": "0.08 %",
    "hedge_beta": "1",
}
LATER |= {"loss_day_soft_max": "0 %", "entries_max": 0, "entries_window": "0 s", "trades_day_max": 0}
LATER |= {"depth_max": "0 %", "atr_min": "0", "atr_max": "0", "costs": "0.05 %", "spread_floor": "1 %"}
LATER |= {"net_widen": "50 %", "trail_anchor": "entry", "take_profit": "0 %"}


class Fault(NamedTuple):
    """One fault: the dotted path of the value ("" where it concerns several) and what is wrong with it."""

    path: str
    text: str

    @property
    def sentence(self) -> str:
        return f"{self.path}: {self.text}" if self.path else self.text


class ConfigError(ValueError):
    """A configuration that cannot be used; `faults` holds one sentence each, `found` the same with their paths."""

    def __init__(self, faults: Sequence[str], found: Sequence[Fault] = ()) -> None:
        self.faults = list(faults)
        self.found = list(found) or [Fault("", text) for text in faults]
        super().__init__("\n".join(faults))


class MarketSection(Section):
    """What is traded, and when."""

    venue: Literal["cme", "moex"] = Field(description="whose rules and calendar hold")
    currency: Literal["USD", "RUB"] = Field(description="currency of every amount in this profile")
    instruments: list[str] = Field(description="symbols that a session may trade", min_length=1, max_length=32)
    schedule: str = Field(description=f"phases of the day: {', '.join(SCHEDULES)}")
    bars: bool = Field(description="a tape of bars without a book may be traded; then risk.bar_mode is switched on")
    restricted: list[str] = Field(
        default=[], description="symbols that may not be entered; running sessions obey with the next event (P-25)"
    )

    @field_validator("schedule")
    @classmethod
    def known_schedule(cls, name: str) -> str:
        if name not in SCHEDULES:
            raise PydanticCustomError(
                "desk", "{text}", {"text": f"{name!r} is no schedule; known: {', '.join(SCHEDULES)}"}
            )
        return name

    @model_validator(mode="after")
    def instruments_fit(self) -> "MarketSection":
        for symbol in self.instruments:
            if symbol not in INSTRUMENTS:
                text = f"instrument {symbol!r} is unknown; known: {', '.join(sorted(INSTRUMENTS))}"
                raise PydanticCustomError("desk", "{text}", {"text": text})
            known = INSTRUMENTS[symbol]
            if (known.venue, known.currency) != (self.venue, self.currency):
                text = f"{symbol} trades at {known.venue} in {known.currency}, not at {self.venue} in {self.currency}"
                raise PydanticCustomError("desk", "{text}", {"text": text})
        for symbol in self.restricted:
            if symbol not in self.instruments:
                text = f"{symbol!r} is restricted and not among the instruments: {', '.join(self.instruments)}"
                raise PydanticCustomError("desk", "{text}", {"text": text})
        return self


class PaperSection(Section):
    """How the simulated venue fills: the same in backtest and on paper."""

    fill_model: Literal["bar", "print", "book"] = Field(
        description="fills of a tape with a book; bars always fill as `bar`"
    )
    latency: str = Field(description="time from the desk to the market, like 20 ms")
    slip_ticks: int = Field(description="adverse slippage of market and stop orders on bars", ge=0, le=100)
    slip_mode: Literal["fixed", "conditional"] = Field(
        default="fixed",
        description="fixed: slip_ticks; conditional: 1 tick, more in a shock of volatility, a wide spread or a thin"
        " minute (MES-COST-06)",
    )

    @field_validator("latency")
    @classmethod
    def a_time(cls, value: str) -> str:
        ns = time_ns(value)
        if ns is None or ns > 60_000_000_000:
            text = f"{value!r} is not a time up to 60 s with its unit ({', '.join(TIME_UNITS)}), like 20 ms"
            raise PydanticCustomError("desk", "{text}", {"text": text})
        return value

    def latency_ns(self) -> int:
        """Latency in ns."""
        return time_ns(self.latency) or 0


class Profile(Section):
    """One whole profile.  `risk` holds LIMITS' integers; `to_values` writes the file's form again."""

    version: Literal[1] = Field(description="version of this form")
    profile: str = Field(description="name", pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    title: str = Field(description="one line for people", max_length=120)
    modes: list[Literal["paper", "live", "backtest"]] = Field(
        description="where sessions of this profile may run; backtest: nowhere", min_length=1
    )
    market: MarketSection
    paper: PaperSection
    risk: RiskSection  # type: ignore[valid-type]
    watch: WatchSection = WatchSection()

    def to_values(self) -> dict[str, Any]:
        """Plain values as a file would hold them: load → values → load is the identity."""
        values = self.model_dump(mode="json", context={"currency": self.market.currency})
        return dict(values)

    def limits(self) -> dict[str, int]:
        """Every field of LIMITS."""
        return dict(self.risk.limits())  # type: ignore[attr-defined]


SECTIONS: dict[str, Any] = {"market": MarketSection, "paper": PaperSection, "risk": RiskSection, "watch": WatchSection}


class Diff(NamedTuple):
    """One value that differs."""

    path: str
    old: object
    new: object


def schema_keys() -> dict[str, str]:
    """Every key of a profile as a dotted path, with its help."""
    keys: dict[str, str] = {}
    for name, field in Profile.model_fields.items():
        inner: Any = SECTIONS.get(name)
        if inner is None:
            keys[name] = field.description or ""
        else:
            keys |= {f"{name}.{key}": item.description or "" for key, item in inner.model_fields.items()}
    return keys


def parse_profile(values: object) -> Profile:
    """Values → a checked profile.  Raises ConfigError with every fault."""
    if not isinstance(values, dict):
        raise ConfigError(["a profile is a list of keys and values; this file holds something else"])
    if isinstance(risk := values.get("risk"), dict):
        values = values | {"risk": LATER | risk}
    market = values.get("market")
    currency = market.get("currency") if isinstance(market, dict) else None
    context = {"currency": currency if currency in CURRENCIES else ""}
    try:
        profile = Profile.model_validate(values, context=context)
    except ValidationError as error:
        found = [_fault(fault) for fault in error.errors()]
        raise ConfigError([fault.sentence for fault in found], found) from None
    traded = Market(profile.market.venue, profile.market.schedule, tuple(profile.modes))
    if faults := contradictions(profile.limits(), profile.market.currency, traded):
        raise ConfigError(faults, [_contradiction(text) for text in faults])
    return profile


def _fault(fault: Any) -> Fault:
    path = ".".join(str(part) for part in fault["loc"])
    kind, text = fault["type"], fault["msg"]
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(path, [*Profile.model_fields, *schema_keys()], n=1, cutoff=0.0)
        return Fault(path, f"unknown key; did you mean {near[0]}?")
    if kind == "missing":
        return Fault(path, f"missing ({schema_keys().get(path, 'a section')})")
    if kind == "desk":
        return Fault(path, str(text))
    return Fault(path, f"{fault['input']!r}: {text[0].lower()}{text[1:]}")


def _contradiction(sentence: str) -> Fault:
    """A contradiction begins with the path of the value that is out of order."""
    path, _, rest = sentence.partition(" ")
    return Fault(path, rest) if path in schema_keys() else Fault("", sentence)


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", node.start_mark)
    return {key: loader.construct_object(value, deep=True) for key, (_, value) in zip(keys, node.value, strict=True)}


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def parse_yaml(text: str, name: str) -> Profile:
    """YAML text → a checked profile.  Raises ConfigError; its sentences begin with the file's name."""
    try:
        values = yaml.load(text, _Loader)  # a subclass of SafeLoader
        return parse_profile(values)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise ConfigError([f"{name}{where}: {getattr(error, 'problem', None) or 'not readable as YAML'}"]) from None
    except ConfigError as error:
        raise ConfigError([f"{name}: {fault}" for fault in error.faults], error.found) from None


def load_file(path: Path) -> Profile:
    """The profile in a YAML file.  Raises ConfigError."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: cannot be read: {error}"]) from None
    return parse_yaml(text, path.name)


def to_yaml(profile: Profile) -> str:
    """A profile as YAML with exactly the schema's keys, in the schema's order, each with its help as a comment."""
    keys, lines = schema_keys(), []
    for name, value in profile.to_values().items():
        if isinstance(value, dict):
            lines.append(f"{name}:")
            for key, inner in value.items():
                lines.append(f"  # {keys[f'{name}.{key}']}")
                lines.append(f"  {_line(key, inner)}")
        else:
            lines += [f"# {keys[name]}", _line(name, value)]
    return "\n".join(lines) + "\n"


def _line(key: str, value: object) -> str:
    return f"{key}: {yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, width=1000).strip()[1:-1]}"


def profile_hash(profile: Profile) -> str:
    """SHA-256 of the canonical JSON (64 hex digits; MES-CONF-04).

    A value that a later form added counts only where it is not the usual one: so a stored version keeps its hash.
    """
    values = {name: _unusual(name, value) for name, value in profile.to_values().items()}
    values = {name: value for name, value in values.items() if value != {}}
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _unusual(name: str, value: object) -> object:
    if not isinstance(value, dict):
        return value
    if name == "risk":  # they count once one of them is in use
        used = any(value[key] != usual for key, usual in LATER.items())
        return value if used else {key: inner for key, inner in value.items() if key not in LATER}
    fields = SECTIONS[name].model_fields
    return {key: inner for key, inner in value.items() if fields[key].is_required() or inner != fields[key].default}


def diff(old: Profile, new: Profile) -> list[Diff]:
    """Values that differ, by path."""
    a, b = _flat(old.to_values()), _flat(new.to_values())
    return [Diff(path, a.get(path), b.get(path)) for path in schema_keys() if a.get(path) != b.get(path)]


def _flat(values: dict[str, Any]) -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in values.items():
        flat |= {f"{name}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def bar_limits(limits: dict[str, int]) -> dict[str, int]:
    """The same limits for a tape of bars."""
    return limits | {BY_KEY["bar_mode"].name: 1}
