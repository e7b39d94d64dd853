"""What the tests of every feature schema ask alike: names and places, two names exchanged, what the hash covers."""

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType

import pytest


def swapped(names: Sequence[str], a: int, b: int) -> list[str]:
    """The names with two of them in each other's place."""
    found = list(names)
    found[a], found[b] = found[b], found[a]
    return found


def places_of(schema: ModuleType, names: Sequence[str]) -> dict[str, int]:
    """Name → the place that the code gives it by a constant of that name."""
    return {name: getattr(schema, name.upper()) for name in names if hasattr(schema, name.upper())}


def hashes(
    patch: pytest.MonkeyPatch, schema: ModuleType, changes: Mapping[str, object], hash_of: Callable[[], str]
) -> list[str]:
    """The schema's hash as it is, then with each change alone."""
    found = [hash_of()]
    for name, value in changes.items():
        with patch.context() as alone:
            alone.setattr(schema, name, value)
            found.append(hash_of())
    return found
