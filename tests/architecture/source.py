"""What the house's tests read: every Python file of the project, parsed once.

Only source text is looked at (`ast`), nothing is imported: a broken module cannot hide from the tests.
"""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.bootstrap import ROOT

FLOORS = ("marketdata", "risk", "trading", "desk")  # lowest first: a floor imports itself and what stands below it
SKIPPED = {".venv", "var", ".git", "node_modules", "__pycache__", "vendor"}


class Source(NamedTuple):
    """One file: its path, its path from the project's root, its dotted module name, its text and its tree."""

    path: Path
    name: str
    module: str
    text: str
    tree: ast.Module

    @property
    def floor(self) -> str:
        return self.name.split("/")[0]

    @property
    def rooms(self) -> tuple[str, ...]:
        return tuple(self.name.split("/")[:-1])

    @property
    def lines(self) -> int:
        return self.text.count("\n")


class Import(NamedTuple):
    """One imported name: `target` is the dotted module, with the imported name behind it for `from a import b`."""

    target: str
    line: int
    deferred: bool  # inside a function: does not run when the module is imported


def module_name(name: str) -> str:
    dotted = name.removesuffix(".py").replace("/", ".")
    return dotted.removesuffix(".__init__")


def read(path: Path) -> Source:
    name = path.relative_to(ROOT).as_posix()
    text = path.read_text()
    return Source(path, name, module_name(name), text, ast.parse(text, name))


@functools.cache
def sources() -> tuple[Source, ...]:
    """Every Python file of the four floors, of the tests and of the root."""
    found = [path for folder in (*FLOORS, "tests") for path in sorted((ROOT / folder).rglob("*.py"))]
    found.append(ROOT / "manage.py")
    return tuple(read(path) for path in found if not SKIPPED & set(path.relative_to(ROOT).parts))


def product() -> Iterator[Source]:
    """The files of the four floors, without the tests."""
    return (source for source in sources() if source.floor in FLOORS)


def imports(source: Source) -> Iterator[Import]:
    """All imports of a file, relative ones resolved; what only the type checker reads is left out."""
    stack: list[tuple[ast.AST, bool]] = [(source.tree, False)]
    package = source.module.split(".") if source.name.endswith("__init__.py") else source.module.split(".")[:-1]
    while stack:
        node, deferred = stack.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, deferred) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            dotted = ".".join([*base, *([node.module] if node.module else [])])
            yield from (Import(f"{dotted}.{alias.name}", node.lineno, deferred) for alias in node.names)
        inside = deferred or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        stack.extend((child, inside) for child in ast.iter_child_nodes(node))


def report(faults: list[str], advice: str) -> str:
    """The message of a failed test: every place, then what to do."""
    return f"{len(faults)} place(s):\n  " + "\n  ".join(faults) + f"\nDo: {advice}"
