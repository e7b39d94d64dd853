"""Things that must not be written anywhere: swallowed errors, unseeded clocks in tests, paths of somebody's machine."""

import ast
import re
from pathlib import Path

from tests.architecture.source import SKIPPED, product, report, sources
from tests.bootstrap import ROOT

TEXT_FILES = {
    ".py",
    ".sh",
    ".md",
    ".toml",
    ".txt",
    ".html",
    ".js",
    ".css",
    ".json",
    ".yaml",
    ".yml",
    ".cfg",
    ".ini",
    "",
}
# Split, so that this file does not name them itself.
FOREIGN_PATHS = ("/" + "work/", "/" + "shared/", "/" + "root/", "/" + "home/", "blue" + "print")


def is_silent(body: list[ast.stmt]) -> bool:
    """Whether a handler does nothing at all with the error."""
    return all(
        isinstance(node, ast.Pass | ast.Continue)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        or (isinstance(node, ast.Return) and (node.value is None or isinstance(node.value, ast.Constant)))
        for node in body
    )


def is_blanket(handler: ast.ExceptHandler) -> bool:
    names = {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)} if handler.type else set()
    return handler.type is None or bool(names & {"Exception", "BaseException"})


def test_no_error_is_swallowed() -> None:
    """A blanket handler must do something; a bare `except:` never stands."""
    faults = []
    for source in sources():
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ExceptHandler) and (
                node.type is None or (is_blanket(node) and is_silent(node.body))
            ):
                faults.append(f"{source.name}:{node.lineno}")
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if name in ("suppress", "contextlib.suppress") and {ast.unparse(arg) for arg in node.args} & {  # type: ignore[attr-defined]
                "Exception",
                "BaseException",
            }:
                faults.append(f"{source.name}:{node.lineno}")  # type: ignore[attr-defined]
    assert not faults, report(faults, "catch the error you expect; let the others end the process")


def test_swallowing_is_recognised() -> None:
    handler = ast.parse("try:\n    x()\nexcept Exception:\n    pass").body[0].handlers[0]  # type: ignore[attr-defined]
    assert is_blanket(handler)
    assert is_silent(handler.body)
    spoken = ast.parse("try:\n    x()\nexcept Exception:\n    log()\n    raise").body[0].handlers[0]  # type: ignore[attr-defined]
    assert not is_silent(spoken.body)


def text_files() -> list[Path]:
    found = []
    for path in ROOT.rglob("*"):
        if not path.is_file() or path.suffix not in TEXT_FILES or SKIPPED & set(path.relative_to(ROOT).parts):
            continue
        if any(part.startswith(".") and part != ".ci" for part in path.relative_to(ROOT).parts[:-1]):
            continue  # tools' own folders
        found.append(path)
    return found


def test_no_path_of_a_machine() -> None:
    """The project runs from any folder; the sample data's default place is the one exception, in relative form."""
    faults = []
    for path in text_files():
        if path.name in ("LICENSE", "package-lock.json"):
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
            if any(word in line for word in FOREIGN_PATHS):
                faults.append(f"{path.relative_to(ROOT)}:{number} {line.strip()[:80]}")
    assert not faults, report(faults, "use settings.BASE_DIR, DESK_VAR or DESK_SAMPLE_DATA")


def test_lock_file_names_no_registry() -> None:
    lock = (ROOT / "desk" / "assets" / "package-lock.json").read_text()
    assert "resolved" not in lock, "desk/assets/package-lock.json: run npm with desk/assets/.npmrc in place"
    assert "://" not in lock


def test_requirements_are_pinned() -> None:
    faults = [
        f"requirements.txt:{number} {line}"
        for number, line in enumerate((ROOT / "requirements.txt").read_text().splitlines(), start=1)
        if line.strip()
        and not line.startswith("#")
        and not re.fullmatch(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==[0-9][0-9A-Za-z.]*", line)
    ]
    assert not faults, report(faults, "name==exact version, no local tag, no address")


def test_nothing_is_loaded_from_elsewhere() -> None:
    """No CDN at run time: pages name only files of this desk."""
    pattern = re.compile(r"""(?:src|href|import|from)\s*=?\s*\(?["'](?:https?:)?//""")
    faults = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in text_files()
        if path.suffix in (".html", ".js", ".css") and ("templates" in path.parts or "static" in path.parts)
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if pattern.search(line) and 'rel="noopener' not in line
    ]
    assert not faults, report(faults, "take it from npm through desk/assets and serve it as a static file")


def test_no_test_without_an_assertion() -> None:
    faults = []
    for source in sources():
        if source.floor != "tests":
            continue
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.name.startswith("test"):
                continue
            text = ast.unparse(node)
            if not re.search(r"\bassert\b|pytest\.raises|assert_\w+\(|check\w*\(|expect\w*\(|refused?\w*\(", text):
                faults.append(f"{source.name}:{node.lineno} {node.name}")
    assert not faults, report(faults, "say what must hold")


def test_no_mock_of_our_own() -> None:
    """Real processes and real neighbours: unittest.mock is not used."""
    faults = [
        f"{source.name}:{number}"
        for source in sources()
        for number, line in enumerate(source.text.splitlines(), start=1)
        if re.match(r"\s*(from|import) (unittest\.)?mock\b", line)
    ]
    assert not faults, report(faults, "run the real thing, or hand in a small class written in the test")


def test_settings_hold_no_trading_parameter() -> None:
    """Limits and strategies are versioned rows, never deployment settings (design, section 8)."""
    settings = next(source for source in product() if source.name == "desk/settings.py")
    faults = [
        f"desk/settings.py:{number} {line.strip()}"
        for number, line in enumerate(settings.text.splitlines(), start=1)
        if re.search(r"\b(loss|limit_micros|stop_tick|max_position|leverage)\b", line, re.IGNORECASE)
    ]
    assert not faults, report(faults, "put it into the profile's configuration")
