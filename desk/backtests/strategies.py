"""The strategies that a page may name: functions of the examples and of the files in `settings.STRATEGIES`; policies.

Files are read, never imported here: a person's code runs in the backtest's own process alone.  No address can name a
module that is not on this list.
"""

import ast
import importlib.util
import sys
from pathlib import Path
from typing import NamedTuple

from django.conf import settings

from trading.studies import examples

FILES_MAX = 200
BASELINE = "baseline"  # the desk's own scorer, which decides on books as in a session
POLICY, HEARS = "policy", "on_event"


class Offer(NamedTuple):
    """`words` as the command takes them, the file, the arguments with their defaults, the first line of its text."""

    words: str
    path: Path
    arguments: tuple[str, ...]
    about: str


def folder() -> Path:
    """Where a desk's own strategies lie."""
    return Path(settings.STRATEGIES)


def offered() -> dict[str, Offer]:
    """By their words, the desk's own first.  What cannot be read or parsed offers nothing."""
    found: dict[str, Offer] = {}
    own = [path for path in _files() if not taken(path)]
    for module, path in [*((path.stem, path) for path in own), (examples.__name__, Path(examples.__file__))]:
        if all(part.isidentifier() for part in module.split(".")):
            found |= {offer.words: offer for offer in _functions(module, path)}
    return found


def policies() -> dict[str, Offer]:
    """Policies over books by their words: classes of the desk's folder that hear events."""
    found = [offer for path in _files() if not taken(path) for offer in _classes(path)]
    return {offer.words: offer for offer in found}


def named(words: str) -> Offer | None:
    """The strategy or policy of these words, as it stands now."""
    return offered().get(words) or policies().get(words)


def refused() -> list[str]:
    """Files of the desk's folder whose names are those of a library or of the desk: another module would run."""
    return [path.name for path in _files() if taken(path)]


def taken(path: Path) -> bool:
    """Whether the name of a file stands for another module already.  Nothing is imported."""
    try:
        found = importlib.util.find_spec(path.stem) if path.stem.isidentifier() else None
    except ValueError:  # __main__
        return True
    return path.stem in sys.stdlib_module_names or (found is not None and found.origin != str(path))


def _files() -> list[Path]:
    place = folder()
    return sorted(place.glob("*.py"))[:FILES_MAX] if place.is_dir() else []


def _parsed(path: Path) -> list[ast.stmt]:
    """The statements of a file; none of one that cannot be read or parsed."""
    try:
        return ast.parse(path.read_text(encoding="utf-8")).body
    except (OSError, ValueError, SyntaxError):
        return []


def _classes(path: Path) -> list[Offer]:
    offers = []
    for node in _parsed(path):
        if not isinstance(node, ast.ClassDef) or node.name.startswith("_"):
            continue
        own = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
        if HEARS not in own:
            continue
        arguments = _arguments(own["__init__"]) if "__init__" in own else ()
        about = (ast.get_docstring(node) or "").partition("\n")[0]
        offers.append(Offer(f"{POLICY}:{path.stem}:{node.name}", path, arguments, about))
    return offers


def _functions(module: str, path: Path) -> list[Offer]:
    return [
        Offer(f"{module}:{node.name}", path, _arguments(node), (ast.get_docstring(node) or "").partition("\n")[0])
        for node in _parsed(path)
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and _takes_bars(node)
    ]


def _takes_bars(node: ast.FunctionDef) -> bool:
    """A strategy is a function whose first argument is `bars`."""
    named = [*node.args.posonlyargs, *node.args.args]
    return bool(named) and named[0].arg == "bars"


def _arguments(node: ast.FunctionDef) -> tuple[str, ...]:
    named = [*node.args.posonlyargs, *node.args.args][1:]
    first = len(named) - len(node.args.defaults)
    given = {named[first + k].arg: ast.unparse(value) for k, value in enumerate(node.args.defaults) if first + k >= 0}
    alone = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    given |= {item.arg: ast.unparse(value) for item, value in alone if value is not None}
    names = [item.arg for item in (*named, *node.args.kwonlyargs)]
    return tuple(f"strategy.{name}={given[name]}" if name in given else f"strategy.{name}=…" for name in names)
