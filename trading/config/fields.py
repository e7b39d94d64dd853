"""Every value of a profile as one described row: section, label, unit, bounds, help, direction.  For pages and forms.

The rows come from the schema and from risk's FIELDS table alone: a new limit appears here by itself.  Nothing here
checks a value; `schema.parse_profile` does.
"""

from typing import Any, Literal, NamedTuple, get_args, get_origin

from risk.core.records import LIMIT_DIRECTION, LIMIT_INDEX
from risk.schema import CHOICE, COUNT, EXAMPLES, FIELDS, MONEY, RATIO, SHARE, SWITCH, TICKS, TIME, Limit, text
from risk.schema import CHOICES as NAMES
from trading.config.schema import MarketSection, PaperSection, Profile
from trading.config.watching import Between, WatchSection

CHOICES, LIST, NUMBER, WORDS = "choices", "list", "number", "words"
SECTIONS = {"": "Profile", "market": "Market", "paper": "Simulated venue", "risk": "Risk", "watch": "Watch"}
FIXED = ("version", "profile")  # the form's number and the profile's name: no form changes them
DIRECTIONS = {1: "a larger value admits more", -1: "a larger value admits less", 0: "neither tighter nor looser"}
WORDS_OF = {
    "qty": "quantity", "ttl": "time to live", "ack": "acknowledgement", "recon": "reconciliation", "slip": "slippage",
    "1s": "in 1 s", "60s": "in 60 s",
}  # fmt: skip
UNITS = {
    TIME: "time with unit", SHARE: "share with unit", TICKS: "ticks", COUNT: "number", SWITCH: "on or off",
    RATIO: "ratio", CHOICE: "",
}  # fmt: skip


class Row(NamedTuple):
    """One value.  `kind`: one of risk.schema or of the above; `choices`: what it may be, where that is listed."""

    path: str
    section: str
    label: str
    kind: str
    unit: str
    bounds: str
    help: str
    example: str
    direction: str
    choices: tuple[str, ...]
    value: Any


def label(key: str) -> str:
    """ "messages_60s_max" → "Messages 60 s max": the key's words, abbreviations written out."""
    text = " ".join(WORDS_OF.get(word, word) for word in key.split("_"))
    return text[:1].upper() + text[1:]


def rows(profile: Profile) -> list[Row]:
    """All values of a profile but its fixed ones, in the schema's order."""
    values = profile.to_values()
    found = []
    for name, field in Profile.model_fields.items():
        if name in (*SECTIONS, *FIXED):
            continue
        found.append(_plain("", name, field, values[name]))
    for section, model in (("market", MarketSection), ("paper", PaperSection)):
        found += [_plain(section, key, field, values[section][key]) for key, field in model.model_fields.items()]
    found += [_limit(row, profile.market.currency, values["risk"][row.key]) for row in FIELDS]
    watched = WatchSection.model_fields.items()
    return found + [_plain("watch", key, field, values["watch"][key]) for key, field in watched]


def _limit(row: Limit, currency: str, value: Any) -> Row:
    low, high = text(row, row.low, currency), text(row, row.high, currency)
    choices = NAMES.get(row.name, ())
    bounds = ", ".join(choices) if choices else "" if row.kind == SWITCH else f"{low} … {high}"
    unit = currency if row.kind == MONEY else UNITS.get(row.kind, row.kind)
    direction = DIRECTIONS[int(LIMIT_DIRECTION[LIMIT_INDEX[row.name]])]
    example = EXAMPLES.get(row.kind, "").replace("USD", currency)
    path = f"risk.{row.key}"
    return Row(path, "risk", label(row.key), row.kind, unit, bounds, row.help, example, direction, choices, value)


def _plain(section: str, key: str, field: Any, value: Any) -> Row:
    path = f"{section}.{key}" if section else key
    kind, choices = _kind(field.annotation)
    bounds = _bounds(field.metadata)
    return Row(path, section, label(key), kind, "", bounds, field.description or "", "", "", choices, value)


def _kind(annotation: Any) -> tuple[str, tuple[str, ...]]:
    if get_origin(annotation) is Literal:
        return CHOICE, tuple(str(word) for word in get_args(annotation))
    if get_origin(annotation) is list:
        (inner,) = get_args(annotation)
        kind, choices = _kind(inner)
        return (CHOICES, choices) if kind == CHOICE else (LIST, ())
    if annotation is bool:
        return SWITCH, ()
    return (NUMBER, ()) if annotation is int else (WORDS, ())


def _bounds(metadata: list[Any]) -> str:
    """Bounds that a field holds, in words."""
    for item in metadata:
        if isinstance(item, Between):
            return f"{item.low} … {item.high}"
    found = {
        name: getattr(item, name) for item in metadata for name in ("ge", "le", "max_length") if hasattr(item, name)
    }
    if "ge" in found and "le" in found:
        return f"{found['ge']} … {found['le']}"
    return f"at most {found['max_length']}" if "max_length" in found else ""
