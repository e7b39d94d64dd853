"""Every rule that is done has a test that names it; a rule of the gate is one function and one line; a new page."""

import ast
from pathlib import Path

from risk.core import codes, gate, rules
from risk.core.holds import HOLDS
from risk.core.records import MES
from tests.architecture.rulebook import ALL, NUMBERED, PAGE, named_by_tests, page
from tests.architecture.source import report, sources
from tests.bootstrap import ROOT


def test_every_rule_that_is_done_has_a_test_that_names_it() -> None:
    tests = named_by_tests()
    faults = [f"{rule.id}: {rule.text}" for rule in ALL if rule.code and rule.id not in tests]
    assert not faults, report(faults, "write a test whose name or text holds the rule's id")


def test_every_rule_names_a_file_that_exists_or_what_is_missing() -> None:
    assert len({rule.id for rule in ALL}) == len(ALL)
    faults = [rule.id for rule in ALL if not (rule.code or rule.missing) or not (ROOT / rule.code).exists()]
    assert not faults, report(faults, "name the file, or say what is missing")


def test_no_row_of_the_named_sections_is_left_out() -> None:
    listed = {rule.id for rule in ALL}
    faults = [number for number in NUMBERED if number not in listed]
    assert not faults, report(faults, "add a row, with what is missing where it is not done")
    assert len(NUMBERED) > 110


def test_every_hold_of_the_futures_rulebook_is_a_rule() -> None:
    desk: tuple[str, ...]
    own = ("DUPLICATE_STORM", "CLOSE_ONLY", "SESSION_STOPPED", "EXECUTION_AWAY", "DATABASE_AWAY", "STREAM_FULL")
    desk = (*own, "PRICE_MOVE", "NO_LIMITS", "EOD", "EOD_REDUCED", "OPERATOR_PAUSE", "AFTER_HOURS")
    desk = (
        *desk,
        "FEED_STALE",
        "NOT_RECONCILED",
        "RESTRICTED",
        "DAILY_LOSS_NEAR",
        "REPEATED_ENTRIES",
        "CANCEL_UNPROVEN",
        "CLOCK_OFFSET",
    )  # the desk's own, and those that a numbered rule states
    listed = {rule.id for rule in ALL}
    faults = [h.code for h in HOLDS[MES] if f"MES-HOLD-{h.code}" not in listed and h.code not in desk]
    assert not faults, report(faults, "add a row to tests/architecture/rulebook.py")


def test_a_rule_of_the_gate_is_one_function_and_one_line() -> None:
    """Nothing but RULES names a rule's function, and every function of the room is a row."""
    names = {
        node.name
        for node in ast.parse(Path(str(rules.__file__)).read_text()).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }
    rows = [rule.function.__name__ for rule in gate.RULES]
    assert set(rows) == names and len(rows) == len(names)
    faults = []
    for source in sources():
        if source.floor == "tests" or source.name in ("risk/core/gate.py", "risk/core/rules.py"):
            continue
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ImportFrom) and node.module == "risk.core.rules":
                faults.append(f"{source.name}:{node.lineno}")
    assert not faults, report(faults, "only the table asks a rule")


def test_every_reason_belongs_to_a_rule_and_has_one_number() -> None:
    given = {code for rule in gate.RULES for code in rule.codes}
    own = {value for name, value in vars(codes).items() if isinstance(value, int) and value < codes.HOLD_BASE}
    never = own - given - {codes.APPROVED, codes.REFUSED, codes.REVERSAL_LIMIT} - set(codes.RETIRED)
    assert not never, "reasons that no rule gives"
    numbers = [value for name, value in vars(codes).items() if isinstance(value, int) and not name.startswith("_")]
    assert len(numbers) == len(set(numbers))


def test_the_page_of_rules_is_new() -> None:
    assert PAGE.exists() and PAGE.read_text() == page(), "run: python -m tests.architecture.rulebook"
