"""The words behind the codes that rows carry: gate rules, holds, reasons of exits.  One table for all pages."""

from typing import Any

from risk.core.codes import REVERSAL_LIMIT
from risk.core.gate import CODE_NAMES, RULES
from risk.core.holds import HOLDS
from trading.core.protect import CLOSE_REASONS


def page_texts(rules: int) -> dict[str, dict[Any, Any]]:
    """Code → words of a rulebook.  gate: [name, control, what it asks]; holds: what raises it; exits: why it closed."""
    names = CODE_NAMES[rules]
    return {
        "gate": {code: [names[code], rule.control, rule.text] for rule in RULES for code in rule.codes if code in names}
        | {REVERSAL_LIMIT: [names[REVERSAL_LIMIT], "MES-REV-03", "reversals are few and far between"]},
        "holds": {hold.code: hold.trigger for hold in HOLDS[rules]},
        "exits": dict(CLOSE_REASONS),
    }
