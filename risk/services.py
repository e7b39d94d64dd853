"""Risk has no rows of its own to write: limits travel inside configuration versions, which trading owns.

This file names what a profile demands of a session before it may start, as plain functions over packed limits.
Called by trading's services.
"""

from marketdata.core.instruments import Instrument
from marketdata.core.units import text_from_micros


def contract_fault(limits: dict[str, int], instrument: Instrument) -> str:
    """Why one entry in this instrument cannot fit the limits; empty when it fits (P-13, P-14).

    What hedges is never entered: its size follows what it hedges (MOEX-HEDGE-02).
    """
    if instrument.hedge:
        return ""
    qty = limits["qty_entry"]
    ticks = limits["stop_ticks"] + limits["slip_ticks_assumed"]
    risk = qty * (ticks * instrument.tick_value_micros + 2 * instrument.fee_micros)
    if risk > limits["loss_trade_micros_max"]:
        return (
            f"one {instrument.symbol} entry risks {_money(risk, instrument)} to its stop of {limits['stop_ticks']}"
            " ticks;"
            f" a trade may risk {_money(limits['loss_trade_micros_max'], instrument)}"
        )
    margin = qty * instrument.margin_micros
    room = min(limits["margin_micros_max"], limits["capital_micros"])
    if margin > room:
        needed, most = _money(margin, instrument), _money(room, instrument)
        return f"one {instrument.symbol} entry needs {needed} margin; {most} may be used"
    return ""


def _money(micros: int, instrument: Instrument) -> str:
    return f"{text_from_micros(micros)[:-4]} {instrument.currency}"
