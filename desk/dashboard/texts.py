"""The words behind the codes that rows carry: gate rules, holds, reasons of exits.  One table for all pages."""

from typing import Any

from risk.core.codes import REVERSAL_LIMIT
from risk.core.gate import CODE_NAMES, RULES
from risk.core.holds import HOLDS
from trading.core.protect import CLOSE_REASONS


def page_texts() -> dict[str, dict[Any, Any]]:
    """Code → words.  gate: [name, control, what it asks]; holds: what raises it; exits: why a position was closed."""
    return {
        "gate": {code: [CODE_NAMES[code], rule.control, rule.text] for rule in RULES for code in rule.codes}
        | {REVERSAL_LIMIT: [CODE_NAMES[REVERSAL_LIMIT], "MES-REV-03", "reversals are few and far between"]},
        "holds": {hold.code: hold.trigger for rows in HOLDS.values() for hold in rows},
        "exits": dict(CLOSE_REASONS),
    }
