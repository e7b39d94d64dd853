"""Single values of a profile put in by their dotted path, as a study and `--set` do; the whole is checked again.

A profile that was changed so is another configuration with another hash; what contradicts a limit is refused as it
would be in a file (MES-CONF-06).  Pure: nothing is stored.  Called by commands and by trials.
"""

import difflib
import functools
from collections.abc import Mapping
from typing import Any

from trading.config.schema import ConfigError, Profile, parse_profile, schema_keys

SECTIONS = ("risk", "paper")  # what may be searched: a market's own facts are not a matter of choice


@functools.cache
def _settable() -> tuple[str, ...]:
    return tuple(key for key in schema_keys() if key.partition(".")[0] in SECTIONS and "." in key)


def check_path(path: str) -> None:
    """Raises ConfigError for a path that is no value of a section that may be changed."""
    if path not in _settable():
        near = difflib.get_close_matches(path, _settable(), n=1, cutoff=0.0)
        raise ConfigError([f"{path} is no value that can be set; did you mean {near[0]}?"])


def with_values(profile: Profile, changes: Mapping[str, object]) -> Profile:
    """The profile with these values by dotted path.  Raises ConfigError with every fault."""
    if not changes:
        return profile
    return parse_profile(changed(profile.to_values(), changes))


def changed(values: dict[str, Any], changes: Mapping[str, object]) -> dict[str, Any]:
    """A copy of a profile's plain values with these in it.  Raises ConfigError for an unknown path."""
    copied = {name: dict(part) if isinstance(part, dict) else part for name, part in values.items()}
    for path, value in changes.items():
        check_path(path)
        section, _, key = path.partition(".")
        copied[section][key] = value
    return copied
