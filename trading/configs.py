"""Configuration: the schema composed of each package's section, profiles as YAML, and versions as rows.

A profile is checked as a whole and every fault is told in one sentence; nothing is stored unless all of it is right.
A version's values never change: its hash names them, sessions and orders carry it.  Called by services, the command
`config`, the admin and tests.
"""

import difflib
import hashlib
import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml
from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.module_loading import import_string
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from marketdata.calendars import ALL_HOURS, MOEX
from marketdata.calendars import SCHEDULES as FUTURES_SCHEDULES
from marketdata.core.instruments import INSTRUMENTS
from risk.schema import BY_KEY, CURRENCIES, RiskSection, contradictions
from trading.core import states
from trading.models import ConfigVersion

SCHEMA = 1
FOLDER = Path(__file__).resolve().parent / "profiles"
SHIPPED = ("demo-mes", "demo-moex", "mes-topstep", "moex-tinvest")
SCHEDULES = (ALL_HOURS, *FUTURES_SCHEDULES, MOEX)
LATENCY_UNITS = {"us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}


class ConfigError(ValueError):
    """A configuration that cannot be used; `faults` holds one sentence each."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("\n".join(faults))


class Section(BaseModel):
    """Unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MarketSection(Section):
    """What is traded, and when."""

    venue: Literal["cme", "moex"] = Field(description="whose rules and calendar hold")
    currency: Literal["USD", "RUB"] = Field(description="currency of every amount in this profile")
    instruments: list[str] = Field(description="symbols that a session may trade", min_length=1, max_length=32)
    schedule: str = Field(description=f"phases of the day: {', '.join(SCHEDULES)}")
    bars: bool = Field(description="a tape of bars without a book may be traded; then risk.bar_mode is switched on")

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
        return self


class PaperSection(Section):
    """How the simulated venue fills: the same in backtest and on paper."""

    fill_model: Literal["bar", "print", "book"] = Field(
        description="fills of a tape with a book; bars always fill as `bar`"
    )
    latency: str = Field(description="time from the desk to the market, like 20 ms")
    slip_ticks: int = Field(description="adverse slippage of market and stop orders on bars", ge=0, le=100)

    @field_validator("latency")
    @classmethod
    def a_time(cls, value: str) -> str:
        number, _, unit = str(value).partition(" ")
        if unit not in LATENCY_UNITS or not number.isdigit() or int(number) * LATENCY_UNITS[unit] > 60_000_000_000:
            text = f"{value!r} is not a time up to 60 s with its unit ({', '.join(LATENCY_UNITS)}), like 20 ms"
            raise PydanticCustomError("desk", "{text}", {"text": text})
        return value

    def latency_ns(self) -> int:
        """Latency in ns."""
        number, _, unit = self.latency.partition(" ")
        return int(number) * LATENCY_UNITS[unit]


class Profile(Section):
    """One whole profile.  `risk` holds LIMITS' integers; `to_values` writes the file's form again."""

    version: Literal[1] = Field(description="version of this form")
    profile: str = Field(description="name", pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    title: str = Field(description="one line for people", max_length=120)
    modes: list[Literal["paper", "live"]] = Field(description="where sessions of this profile may run", min_length=1)
    market: MarketSection
    paper: PaperSection
    risk: RiskSection  # type: ignore[valid-type]

    def to_values(self) -> dict[str, Any]:
        """Plain values as a file would hold them: load → values → load is the identity."""
        values = self.model_dump(mode="json", context={"currency": self.market.currency})
        return dict(values)

    def limits(self) -> dict[str, int]:
        """Every field of LIMITS."""
        return dict(self.risk.limits())  # type: ignore[attr-defined]


class Diff(NamedTuple):
    """One value that differs."""

    path: str
    old: object
    new: object


def schema_keys() -> dict[str, str]:
    """Every key of a profile as a dotted path, with its help."""
    keys: dict[str, str] = {}
    for name, field in Profile.model_fields.items():
        inner: Any = {"market": MarketSection, "paper": PaperSection, "risk": RiskSection}.get(name)
        if inner is None:
            keys[name] = field.description or ""
        else:
            keys |= {f"{name}.{key}": item.description or "" for key, item in inner.model_fields.items()}
    return keys


def parse_profile(values: object) -> Profile:
    """Values → a checked profile.  Raises ConfigError with every fault."""
    if not isinstance(values, dict):
        raise ConfigError(["a profile is a list of keys and values; this file holds something else"])
    market = values.get("market")
    currency = market.get("currency") if isinstance(market, dict) else None
    context = {"currency": currency if currency in CURRENCIES else ""}
    try:
        profile = Profile.model_validate(values, context=context)
    except ValidationError as error:
        raise ConfigError([_sentence(fault) for fault in error.errors()]) from None
    if faults := contradictions(profile.limits(), profile.market.currency):
        raise ConfigError(faults)
    return profile


def _sentence(fault: Any) -> str:
    path = ".".join(str(part) for part in fault["loc"])
    kind, text = fault["type"], fault["msg"]
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(path, [*Profile.model_fields, *schema_keys()], n=1, cutoff=0.0)
        return f"{path}: unknown key; did you mean {near[0]}?"
    if kind == "missing":
        return f"{path}: missing ({schema_keys().get(path, 'a section')})"
    if kind == "desk":
        return f"{path}: {text}" if path else str(text)
    return f"{path}: {fault['input']!r}: {text[0].lower()}{text[1:]}"


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
        raise ConfigError([f"{name}: {fault}" for fault in error.faults]) from None


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
    """SHA-256 of the canonical JSON (64 hex digits; MES-CONF-04)."""
    text = json.dumps(profile.to_values(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


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


# versions


def profile_of(version: ConfigVersion) -> Profile:
    """The checked profile of a stored version.  Raises ConfigError when it is not what its hash says."""
    profile = parse_profile(version.values)
    if profile_hash(profile) != version.hash:
        raise ConfigError([f"{version} does not match its hash: the row was changed behind the desk's back"])
    return profile


def find(word: str) -> ConfigVersion:
    """The version that "demo-mes" (the active one), "demo-mes@3" or a hash's beginning names.  Raises ConfigError."""
    name, at, number = word.partition("@")
    rows = ConfigVersion.objects.filter(profile=name)
    if at and number.isdigit():
        rows = rows.filter(number=int(number))
    elif not at:
        rows = rows.filter(status=states.ACTIVE)
    found = rows.first() or (ConfigVersion.objects.filter(hash__startswith=word).first() if len(word) >= 8 else None)
    if found is None:
        names = sorted(set(ConfigVersion.objects.values_list("profile", flat=True)) | {*SHIPPED})
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
        raise ConfigError([f"{word!r} names no version; did you mean {near[0]}?"])
    return found


def resolve(word: str) -> Profile:
    """A profile by file name, by version, or of those shipped.  Raises ConfigError."""
    if word.endswith((".yaml", ".yml")):
        return load_file(Path(word))
    if word in SHIPPED and not ConfigVersion.objects.filter(profile=word, status=states.ACTIVE).exists():
        return load_file(FOLDER / f"{word}.yaml")
    return profile_of(find(word))


def store(profile: Profile, *, author: str, reason: str) -> ConfigVersion:
    """A new draft version; equal values of the same profile give the version that has them."""
    if not reason.strip():
        raise ConfigError(["a version needs a reason"])
    digest = profile_hash(profile)
    with transaction.atomic():
        same = ConfigVersion.objects.filter(profile=profile.profile, hash=digest).first()
        if same is not None:
            return same
        last = ConfigVersion.objects.filter(profile=profile.profile).aggregate(last=Max("number"))["last"] or 0
        version = ConfigVersion.objects.create(
            profile=profile.profile,
            number=last + 1,
            values=profile.to_values(),
            hash=digest,
            author=author,
            reason=reason,
            created_at=timezone.now(),
        )
        tell_audit("config", "stored", author, str(version), {"hash": digest, "reason": reason})
    return version


def activate(version: ConfigVersion, *, by: str, reason: str) -> ConfigVersion:
    """Make this the version that new sessions of its profile take; the one before is retired."""
    if not reason.strip():
        raise ConfigError(["an activation needs a reason"])
    profile_of(version)  # a version that cannot be loaded any more is never activated
    with transaction.atomic():
        for old, new in states.before(states.VERSION, "replace").items():
            others = ConfigVersion.objects.filter(profile=version.profile, status=old).exclude(id=version.id)
            others.update(status=new)
        for old, new in states.before(states.VERSION, "activate").items():
            rows = ConfigVersion.objects.filter(id=version.id, status=old)
            rows.update(status=new, activated_at=timezone.now())
        tell_audit("config", "activated", by, str(version), {"hash": version.hash, "reason": reason})
    version.refresh_from_db()
    return version


def ship(*, by: str = "set-up") -> list[ConfigVersion]:
    """Store the shipped profiles and activate those that have no active version yet.  Idempotent."""
    versions = []
    for name in SHIPPED:
        version = store(load_file(FOLDER / f"{name}.yaml"), author=by, reason="shipped with the desk")
        if not ConfigVersion.objects.filter(profile=name, status=states.ACTIVE).exists():
            version = activate(version, by=by, reason="shipped with the desk")
        versions.append(version)
    return versions


def tell_audit(category: str, action: str, actor: str, about: str, detail: dict[str, object]) -> None:
    """One audit row through the function that the settings name: the audit log stands a floor above."""
    import_string(settings.AUDIT_APPEND)(category=category, action=action, actor=actor, object=about, detail=detail)


def version_for(word: str, *, by: str) -> ConfigVersion:
    """The stored version that a word or a YAML file names; a shipped profile or a file is stored when it is not yet."""
    if word.endswith((".yaml", ".yml")):
        return store(load_file(Path(word)), author=by, reason=f"from {Path(word).name}")
    if word in SHIPPED and not ConfigVersion.objects.filter(profile=word, status=states.ACTIVE).exists():
        ship(by=by)
    return find(word)
