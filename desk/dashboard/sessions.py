"""Glue between the selectors and the pages: a session by address, and the ledger's picture in the wire's own keys.

The stored picture serves sessions that no loop publishes any more, and moments when Redis has lost them; every value
that only a running loop knows is absent from it.  Called by the consumer and the views; nothing is written.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from django.core.exceptions import ObjectDoesNotExist
from django.utils.translation import gettext_lazy

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.units import tick_decimals
from trading import selectors

ROW_STREAMS = {"fill": "fills", "trade": "trades", "decision": "decisions", "command": "commands"}
# panels that share one place where the screen is narrow: id, tab
PANES = (
    ("ladder", gettext_lazy("Ladder")),
    ("decisions", gettext_lazy("Decisions")),
    ("blotter", gettext_lazy("Blotter")),
    ("holds", gettext_lazy("Holds")),
    ("loops", gettext_lazy("Loops")),
)
HUMAN_ZONES = {"cme": "America/Chicago", "moex": "Europe/Moscow"}


def find_key(session_id: int) -> str | None:
    """The session's key ("s12"); None when there is no such session."""
    try:
        return str(selectors.session_row(session_id)["key"])
    except ObjectDoesNotExist:
        return None


def latest_id() -> int | None:
    """The session that /desk/ shows: the newest that is not over, else the newest."""
    rows = selectors.running_sessions() or selectors.session_list(limit=1).rows
    return int(rows[0]["id"]) if rows else None


def instruments(symbols: list[str]) -> dict[str, dict[str, Any]]:
    """What the page needs to write prices: index → tick, decimals, tick value, currency."""
    found = {}
    for i, symbol in enumerate(symbols):
        item = INSTRUMENTS[symbol]
        found[str(i)] = {
            "symbol": symbol,
            "tick_nanos": item.tick_nanos,
            "decimals": tick_decimals(item.tick_nanos),
            "tick_value_micros": item.tick_value_micros,
            "currency": item.currency,
        }
    return found


def zone_of(symbols: list[str]) -> str:
    """The venue's time zone."""
    return HUMAN_ZONES[INSTRUMENTS[symbols[0]].venue] if symbols else "UTC"


def stored_values(session_id: int) -> dict[str, Any]:
    """The ledger's picture as state keys and row streams."""
    found = selectors.desk_snapshot(session_id)
    session: Mapping[str, Any] = found["session"]
    account = {**found["account"], "currency": session["currency"]}
    label = account.pop("label")
    mode = {name: session[name] for name in ("mode", "key", "account", "profile", "version", "status")}
    values: dict[str, Any] = {
        "mode": {**mode, "session": session["id"], "label": label, "phase": None, "build": ""},
        "clock": {"now_us": None, "speed": 1, "phase": None, "trading_day": None, "tz": zone_of(session["symbols"])},
        "account": account,
        "holds": found["holds"],
        "orders": found["orders"],
        "instruments": instruments(session["symbols"]),
        "loops": [{**row, "beat_us": None, "detail": ""} for row in found["loops"]],
    }
    for place, symbol in enumerate(session["symbols"]):
        held = next((row["qty"] for row in found["positions"] if row["inst"] == place), 0)
        values[f"pos:{place}"] = {"symbol": symbol, "qty": held, "open_micros": None, "avg_text": None}
    for stream, name in ROW_STREAMS.items():
        values[f"rows:{stream}"] = {"to": len(found[name]), "items": found[name]}
    return values | {"seq": found["seq"], "epoch": 0}


def stored_picture(session_id: int) -> dict[str, bytes]:
    """The same as the hash's JSON texts."""
    return {name: msgspec.json.encode(value) for name, value in stored_values(session_id).items()}
