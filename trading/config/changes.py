"""What changes between two profiles, line by line: does it tighten, loosen, or neither, and whom does it reach.

Limits follow the kernel's own judgement, `loosens`; the words of the market follow the table below.  What is not known
to tighten never counts as tightening.  Called by the configuration pages and by whoever asks whether a change raises
risk.
"""

from collections.abc import Callable
from typing import NamedTuple

from marketdata.calendars import ALL_HOURS
from risk.core.records import LIMIT_INDEX, loosens
from risk.schema import FIELDS
from trading.config.schema import Profile, diff
from trading.config.watching import time_ns

TIGHTENS, LOOSENS, NEUTRAL = "tightens", "loosens", "neutral"
RUNNING, NEW_SESSIONS = "running sessions", "new sessions"
# A running session keeps these: they say what it is, not what it may do.
KEPT_BY_SESSION = ("capital_micros", "bar_mode", "rules", "presence_ns_max")
RUNNING_WORDS = ("market.restricted",)  # words that a running session obeys, too
HARMLESS = ("title", "paper.")  # neither can raise risk: a name, and how the simulated venue fills
_NAME_OF = {f"risk.{row.key}": row.name for row in FIELDS}


class Line(NamedTuple):
    """One value that differs, as a profile writes it."""

    path: str
    old: object
    new: object
    effect: str
    reach: str


def compare(old: Profile, new: Profile) -> list[Line]:
    """Every value that differs, in the schema's order."""
    before, after = old.limits(), new.limits()
    lines = []
    for item in diff(old, new):
        name = _NAME_OF.get(item.path)
        if name is None:
            reach = RUNNING if item.path in RUNNING_WORDS else NEW_SESSIONS
            lines.append(Line(item.path, item.old, item.new, _word_effect(item.path, item.old, item.new), reach))
            continue
        reach = NEW_SESSIONS if name in KEPT_BY_SESSION else RUNNING
        effect = limit_effect(name, before[name], after[name])
        lines.append(Line(item.path, item.old, item.new, effect, reach))
    return lines


def limit_effect(name: str, old: int, new: int) -> str:
    """What a change of one field of LIMITS does, as the kernel judges it: 0 may mean that there is no limit."""
    index = LIMIT_INDEX[name]
    if loosens(index, old, new):
        return LOOSENS
    return TIGHTENS if loosens(index, new, old) else NEUTRAL


def _listed(old: object, new: object) -> str:
    """A list of what is allowed: fewer entries tighten, any new one loosens."""
    added = set(new if isinstance(new, list) else ()) - set(old if isinstance(old, list) else ())
    return LOOSENS if added else TIGHTENS


def _barred(old: object, new: object) -> str:
    """A list of what is not allowed: more entries tighten, any that goes loosens."""
    return _listed(new, old)


def _switched(old: object, new: object) -> str:
    return LOOSENS if new else TIGHTENS


def _hours(old: object, new: object) -> str:
    """Leaving "all hours" tightens; two venues' schedules cannot be ordered, so every other change counts as looser."""
    return TIGHTENS if old == ALL_HOURS else LOOSENS


_WORDS: dict[str, Callable[[object, object], str]] = {
    "modes": _listed,
    "market.instruments": _listed,
    "market.bars": _switched,
    "market.restricted": _barred,
    "market.schedule": _hours,
}


def _word_effect(path: str, old: object, new: object) -> str:
    if path.startswith("watch."):  # a longer time is looser
        return LOOSENS if (time_ns(new) or 0) > (time_ns(old) or 0) else TIGHTENS
    if path in _WORDS:
        return _WORDS[path](old, new)
    return NEUTRAL if path.startswith(HARMLESS) else LOOSENS


def raises_risk(lines: list[Line]) -> bool:
    """Whether activating these lines asks for a step-up: whatever does not plainly tighten may raise risk (N9)."""
    return any(line.effect != TIGHTENS and not line.path.startswith(HARMLESS) for line in lines)
