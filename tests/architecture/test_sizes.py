"""Sizes and shapes: files, functions, folders, depth, opening docstrings, and what stands at the top level."""

import ast
import subprocess
from collections import Counter

from tests.architecture.source import FLOORS, Source, product, report, sources
from tests.bootstrap import ROOT

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
FOLDER_FILES_MAX = 12
DEPTH_MAX = 3  # below the top level; management/commands, migrations and templatetags may be one deeper
TOP_LEVEL = {
    "manage.py", "desk", "trading", "risk", "marketdata", "templates", "static", "tests", "docs", "requirements.txt",
    "README.md", "CHANGELOG.md", "LICENSE", "Makefile", "pyproject.toml",
}  # fmt: skip
DOCSTRING_LINES = range(1, 13)


def generated(source: Source) -> bool:
    return "migrations" in source.rooms


def test_files_are_short() -> None:
    faults = [
        f"{source.name}: {source.lines} lines"
        for source in sources()
        if source.lines > FILE_LINES_MAX and not generated(source)
    ]
    assert not faults, report(faults, f"split the file by subject ({FILE_LINES_MAX} lines at most)")


def test_functions_are_short() -> None:
    faults = []
    for source in sources():
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX and not generated(source):
                    faults.append(f"{source.name}:{node.lineno} {node.name}: {lines} lines")
    assert not faults, report(faults, f"control flow in the parent, pure leaves ({FUNCTION_LINES_MAX} lines at most)")


def test_folders_are_small() -> None:
    counts = Counter(
        "/".join(source.rooms)
        for source in sources()
        if source.rooms and not source.name.endswith("__init__.py") and "migrations" not in source.rooms
    )
    faults = [f"{folder}: {count} files" for folder, count in counts.items() if count > FOLDER_FILES_MAX]
    assert not faults, report(faults, f"make a room for what belongs together ({FOLDER_FILES_MAX} files at most)")


def test_folders_are_not_deep() -> None:
    faults = []
    for source in sources():
        extra = 1 if {"management", "migrations", "templatetags"} & set(source.rooms) else 0
        if len(source.rooms) - 1 > DEPTH_MAX + extra:
            faults.append(source.name)
    assert not faults, report(faults, f"{DEPTH_MAX} folders below the top level are enough")


def test_every_file_says_what_it_is_for() -> None:
    faults = []
    for source in product():
        if not source.text.strip() or generated(source):
            continue
        text = ast.get_docstring(source.tree)
        if text is None or text.count("\n") + 1 not in DOCSTRING_LINES:
            faults.append(f"{source.name}:1")
    assert not faults, report(faults, "open the file with three to eight lines: what for, what never, who calls it")


def test_packages_hold_no_code() -> None:
    """An __init__ that imports its modules makes circles and slow starts; the Celery hook is the one exception."""
    faults = [
        f"{source.name}:{node.lineno}"
        for source in product()
        if source.name.endswith("__init__.py") and source.name != "desk/__init__.py"
        for node in source.tree.body
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]
    assert not faults, report(faults, "move the code into a module with a name")


def test_top_level_holds_only_the_agreed_names() -> None:
    known = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    # an unpacked archive has no git: then every name counts but the ignored ones
    names = known.stdout.splitlines() if known.returncode == 0 else [path.name for path in ROOT.iterdir()]
    top = {name.split("/")[0] for name in names} - {"var"}
    faults = sorted(name for name in top if name not in TOP_LEVEL and not name.startswith("."))
    assert not faults, report(
        faults, f"move it into one of {', '.join(FLOORS)}, docs or tests, or into the ignored var/"
    )
