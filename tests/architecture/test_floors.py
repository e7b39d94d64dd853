"""Floors and rooms: arrows only downward, no circles, and `core/` and the edges import only what they may."""

import ast
from collections.abc import Iterator

from tests.architecture.source import FLOORS, Source, imports, product, report, sources

EDGES = ("feeds", "databento", "engine", "brokers", "run", "learning", "research")
CORE_MAY = {
    "__future__", "collections", "dataclasses", "decimal", "enum", "fractions", "functools", "itertools", "math",
    "hashlib", "json", "struct", "numba", "numpy", "types", "typing",
}  # fmt: skip
CORE_CALLS = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint"}
MODE_WORDS = ("live", "paper", "is_live", "is_paper", "backtest", "is_backtest", "dry_run", "simulated")


def room(source: Source) -> str:
    """`core`, an edge's name, or `shell`."""
    inside = source.rooms[1] if len(source.rooms) > 1 else ""
    return inside if inside == "core" or inside in EDGES else "shell"


def modules() -> set[str]:
    return {source.module for source in sources()}


def target_module(target: str, known: set[str]) -> str:
    """The project's module that an import names; empty for somebody else's."""
    while target:
        if target in known:
            return target
        target = target.rpartition(".")[0]
    return ""


def test_arrows_point_downward_only() -> None:
    """desk -> trading -> risk -> marketdata (design, section 3); nobody imports the tests."""
    faults = [
        f"{source.name}:{found.line} imports {found.target}"
        for source in product()
        for found in imports(source)
        if (floor := found.target.split(".")[0]) in (*FLOORS, "tests")
        and (floor == "tests" or FLOORS.index(floor) > FLOORS.index(source.floor))
    ]
    assert not faults, report(faults, "move the code down a floor, or hand the thing in as an argument")


def test_core_imports_only_what_is_pure() -> None:
    known = modules()
    faults = []
    for source in product():
        if room(source) != "core":
            continue
        for found in imports(source):
            top = found.target.split(".")[0]
            ours = target_module(found.target, known)
            if (top in FLOORS and "core" not in ours.split(".")) or (top not in FLOORS and top not in CORE_MAY):
                faults.append(f"{source.name}:{found.line} imports {found.target}")
    assert not faults, report(
        faults, "core/ is pure: integers, numpy and numba; clocks, I/O and frameworks stay outside"
    )


def called_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node.lineno


def test_core_calls_no_clock_random_or_io_mes_acc_x2() -> None:
    """Also what numpy and Path could smuggle in: np.random, np.load, fastmath, jitclass."""
    banned = ("np.random", "numpy.random", "np.load", "np.save", "np.fromfile", "np.memmap", "time.", "datetime.")
    faults = [
        f"{source.name}:{line} calls {name}"
        for source in product()
        if room(source) == "core"
        for name, line in called_names(source.tree)
        if name in CORE_CALLS or name.startswith(banned) or name.endswith((".tofile", ".now", ".today"))
    ]
    assert not faults, report(faults, "hand time, seeds and data in as arguments (design, section 4)")


def test_jitted_code_uses_neither_fastmath_nor_jitclass() -> None:
    faults = [
        f"{source.name}:{node.lineno}"
        for source in product()
        for node in ast.walk(source.tree)
        if (isinstance(node, ast.keyword) and node.arg == "fastmath")
        or (isinstance(node, ast.Name) and node.id == "jitclass")
    ]
    assert not faults, report(faults, "use free @njit(cache=True) functions (design, section 4)")


def test_edges_import_no_django() -> None:
    """feeds/, databento/, engine/, brokers/, run/, learning/ and research/ receive what they need as arguments."""
    banned = ("django", "channels", "daphne", "celery")
    shells = ("models", "services", "selectors", "tasks", "admin", "apps", "sinks", "views", "urls", "settings")
    faults = []
    for source in product():
        if room(source) not in EDGES:
            continue
        for found in imports(source):
            parts = found.target.split(".")
            if parts[0] in banned or (parts[0] in FLOORS and len(parts) > 1 and parts[1] in shells):
                faults.append(f"{source.name}:{found.line} imports {found.target}")
    assert not faults, report(faults, "pass the value or a small protocol in from the shell")


def test_no_import_circles() -> None:
    """Deferred imports count too: an import inside a function hides a circle, it does not remove it."""
    known = modules()
    arrows: dict[str, set[str]] = {}
    for source in product():
        targets = {target_module(found.target, known) for found in imports(source)}
        # a package's __init__ holds no code here, so `from a import b` is an arrow to a.b only
        arrows[source.module] = {target for target in targets if target and target != source.module}
    circles = [" -> ".join(circle) for circle in find_circles(arrows)]
    assert not circles, report(circles, "move what both need into a third module below them")


def find_circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """One example of a circle for each back arrow met by a depth-first walk."""
    done: set[str] = set()
    circles = []

    def walk(module: str, path: list[str]) -> None:
        if module in path:
            circles.append([*path[path.index(module) :], module])
            return
        if module in done:
            return
        for target in sorted(arrows.get(module, ())):
            walk(target, [*path, module])
        done.add(module)

    for module in sorted(arrows):
        walk(module, [])
    return circles


def test_find_circles_finds_one() -> None:
    assert find_circles({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == [["a", "b", "c", "a"]]
    assert find_circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_core_knows_no_mode() -> None:
    """Backtest, replay, paper and live differ only in who fills the inbox: no core/ code asks which it is."""
    faults = []
    for source in product():
        if room(source) != "core" or source.floor not in ("risk", "trading"):
            continue
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.Name | ast.Attribute | ast.arg):
                continue
            name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else node.arg
            if name.lower() in MODE_WORDS or name.lower().startswith(("is_live", "is_paper", "if_live")):
                faults.append(f"{source.name}:{node.lineno} names {name}")
    assert not faults, report(faults, "choose the mode once, in services, by what is connected to the ring")


def test_every_module_is_used() -> None:
    """A file that nothing imports is dead, unless a framework finds it by its place or name."""
    known = modules()
    used = {target_module(found.target, known) for source in sources() for found in imports(source)}
    by_name = {
        "apps",
        "settings",
        "asgi",
        "urls",
        "celery",
        "admin",
        "models",
        "tasks",
        "conftest",
        "bootstrap",
        "manage",
    }
    texts = "\n".join(source.text for source in sources())
    faults = []
    for source in product():
        last = source.module.rpartition(".")[2]
        found_by_place = {"migrations", "commands", "templatetags"} & set(source.rooms) or source.name.endswith(
            "__init__.py"
        )
        if source.module in used or last in by_name or found_by_place:
            continue
        # named as a string: `python -m x`, a setting, or a registry of dotted paths
        if f'"{source.module}' not in texts and f" {source.module} " not in texts:
            faults.append(source.name)
    assert not faults, report(faults, "use it or delete it")
