"""What a proof of parity says: parts with their counts, both sides' money, the first difference in words, two tables.

Money is exact: micros of the account's currency, computed from fills alone.  Called by `parity.proof` and the command.
"""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.records import EVENT, NO_TICK
from marketdata.core.units import text_from_ticks
from trading.core.records import FILL, KIND_NAMES, ORDER_TYPES, ROLES
from trading.reports.parity.scores import ScoreDiffers, ScoresAgain
from trading.reports.parity.venue import Answered, VenueAgain, kind_name
from trading.reports.tables import money_text, time_text
from trading.run.journal.recovery import Difference
from trading.run.journal.verify import describe
from trading.run.search.report import put
from trading.run.spec import SessionSpec

PROOF, ORDERS, FILLS = "parity.json", "orders.csv", "fills.csv"
DECISIONS, ANSWERS, SCORES = "decisions", "answers", "scores"
EQUAL, DIFFERS, NOT_COMPARED = "equal", "differs", "not compared"  # a part
IDENTICAL, DECISIONS_ONLY = "identical", "decisions only"  # the whole, or DIFFERS
PRICES = ("price_tick", "stop_tick")
ORDER_COLUMNS = (
    "seq", "sent", "request", "order", "symbol", "side", "qty", "role", "type", "limit_price", "stop_price",
)  # fmt: skip
FILL_COLUMNS = (
    "seq", "order", "symbol", "role", "session_time", "session_side", "session_qty", "session_price", "session_fee",
    "backtest_time", "backtest_side", "backtest_qty", "backtest_price", "backtest_fee", "same",
)  # fmt: skip


def folder_of(var: Path, session_id: int) -> Path:
    """Where the desk keeps the proof of a session."""
    return var / "results" / f"parity-{session_id}"


def decisions_part(frames: int, difference: Difference | None) -> dict[str, Any]:
    """What the kernel says and sends, from what it heard."""
    return {
        "name": DECISIONS,
        "recorded": frames,
        "equal": frames,
        "state": DIFFERS if difference is not None else EQUAL,
        "why": "" if difference is None else "what follows the first difference is not compared",
    }


def answers_part(venue: VenueAgain | None, why: str, recorded: int) -> dict[str, Any]:
    """What the venue answers, from requests and market."""
    if venue is None:
        return {"name": ANSWERS, "recorded": recorded, "equal": 0, "state": NOT_COMPARED, "why": why}
    state = DIFFERS if venue.differing else EQUAL if venue.compared or not venue.why else NOT_COMPARED
    late, races = venue.late, venue.races
    return {
        "name": ANSWERS,
        "recorded": recorded,
        "equal": venue.equal,
        "state": state,
        "why": venue.why,
        "aside": venue.aside,
        "late": len(late),
        "late_us_max": max(late, default=0) // 1000,
        "races": [race._asdict() for race in races[:100]],
        "race_count": len(races),
        "race_us_max": max((race.ahead_ns for race in races), default=0) // 1000,
        "unanswered": venue.unasked,
    }


def scores_part(scores: ScoresAgain | None, why: str) -> dict[str, Any]:
    """What the scorer says, from the market; `why`: nothing is compared any more.  What differed before did differ."""
    if scores is None or (why and scores.first is None):
        return {"name": SCORES, "recorded": 0, "equal": 0, "state": NOT_COMPARED, "why": why}
    state = DIFFERS if scores.first is not None else EQUAL
    return {
        "name": SCORES, "recorded": scores.recorded, "equal": scores.equal, "state": state, "why": why,
        "missed": scores.missed, "shifted": scores.shifted,
    }  # fmt: skip


def verdict_of(parts: Sequence[dict[str, Any]], chain_fault: str) -> str:
    """Identical is what was compared whole, part by part, and is the same."""
    states = {part["state"] for part in parts}
    if chain_fault or DIFFERS in states:
        return DIFFERS
    return DECISIONS_ONLY if NOT_COMPARED in states or any(part["why"] for part in parts) else IDENTICAL


def side_values(spec: SessionSpec, fills: Sequence[Answered], orders: int) -> dict[str, dict[str, Any]]:
    """Orders, fills and money of session and backtest; the backtest's only where each of its fills is known."""
    both = {"session": [one.told for one in fills]}
    made = [one.made for one in fills if one.made is not None]
    if len(made) == len(fills):
        both["backtest"] = made
    return {name: {"orders": orders, **_money(spec, rows)} for name, rows in both.items()}


def _money(spec: SessionSpec, rows: Sequence[np.ndarray]) -> dict[str, Any]:
    gross = fees = contracts = 0
    held: dict[int, int] = {}
    for row in (rows[0] for rows in rows):
        which, signed = int(row["instrument"]), int(row["side"]) * int(row["qty"])
        gross -= signed * int(row["price_tick"]) * spec.instruments[which].values["tick_value_micros"]
        fees += int(row["fee_micros"])
        contracts += int(row["qty"])
        held[which] = held.get(which, 0) + signed
    open_qty = sum(abs(qty) for qty in held.values())
    flat = open_qty == 0  # what is still held has paid and not earned: no result can be told of it
    return {
        "fills": len(rows),
        "contracts": contracts,
        "fee_micros": fees,
        "gross_micros": gross if flat else None,
        "net_micros": gross - fees if flat else None,
        "open_qty": open_qty,
    }


# the first difference


def first_difference(
    spec: SessionSpec, difference: Difference | None, venue: VenueAgain | None, score: ScoreDiffers | None
) -> dict[str, Any] | None:
    """The earliest in the journal, with what either side saw; None without one."""
    found = []
    if difference is not None:
        found.append(_decision(difference))
    if venue is not None and venue.first is not None:
        found.append(_answer(spec, venue.first))
    if score is not None:
        found.append(_score(score))
    return min(found, key=lambda item: int(item["seq"])) if found else None


def _decision(difference: Difference) -> dict[str, Any]:
    row = np.frombuffer(difference.recorded, EVENT)[0]
    return {
        "part": DECISIONS,
        "seq": difference.seq,
        "ts_ns": int(row["ts_ns"]),
        "order": int(row["order_number"]),
        "what": KIND_NAMES.get(int(row["kind"]), str(int(row["kind"]))),
        "fields": [],
        "why": f"{describe(difference)}. The kernel of today says otherwise than that of the session on the very same"
        " input: its code has changed, or the journal was.",
    }


def _answer(spec: SessionSpec, found: Answered) -> dict[str, Any]:
    row = found.told[0]
    symbol = spec.instruments[int(row["instrument"])].symbol
    what = kind_name(found.told)
    if found.made is None:
        why = "By then the backtest's venue had not answered: the order was not filled, or the request not served."
    elif kind_name(found.made) != what:
        why = f"The backtest's venue answered {kind_name(found.made)} here."
    elif what == KIND_NAMES[FILL]:
        why = (
            "Both filled it, on another book: no order of arrival within a quarter of a second gives the session's"
            " price. The venue of the session had other books than its feed gives again: it was started anew and its"
            " journal, of an older version, does not say what it missed; or its code was other."
        )
    else:
        why = "The same answer with other terms."
    return {
        "part": ANSWERS,
        "seq": int(row["seq"]),
        "ts_ns": int(row["ts_ns"]),
        "order": int(row["order_number"]),
        "what": what,
        "fields": [_field(name, symbol, told, made) for name, told, made in found.fields()],
        "why": why,
    }


def _field(name: str, symbol: str, told: int, made: int | None) -> list[str]:
    def text(value: int | None) -> str:
        if value is None:
            return "—"
        if name == "kind":
            return KIND_NAMES.get(value, str(value))
        if name in PRICES:
            return price_text(value, symbol)
        if name == "fee_micros":
            return money_text(value)
        return time_text(value) if name.endswith("_ns") else str(value)

    return [name, text(told), text(made)]


def _score(found: ScoreDiffers) -> dict[str, Any]:
    names = ("side", "score_ppm", "confidence_ppm")
    made = found.made or ("—", "—", "—")
    return {
        "part": SCORES,
        "seq": found.seq,
        "ts_ns": found.ts_ns,
        "order": 0,
        "what": "SCORE",
        "fields": [[name, str(a), str(b)] for name, a, b in zip(names, found.told, made, strict=True) if a != b],
        "why": "The scorer's features of this moment were others: it was taken over and warmed anew, it had missed"
        " events, or its code or network is another one now.",
    }


# tables


def price_text(tick: int, symbol: str) -> str:
    """Exact, in the instrument's decimals; empty for none."""
    return "" if tick == NO_TICK else text_from_ticks(tick, INSTRUMENTS[symbol].tick_nanos)


def orders_csv(spec: SessionSpec, orders: np.ndarray) -> str:
    """Requests that both made, one a line."""
    rows = [
        (
            int(row["seq"]), time_text(int(row["ts_ns"])), KIND_NAMES[int(row["kind"])], int(row["order_number"]),
            symbol := spec.instruments[int(row["instrument"])].symbol, _side(row), int(row["qty"]),
            ROLES.get(int(row["role"]), ""), ORDER_TYPES.get(int(row["order_type"]), ""),
            price_text(int(row["price_tick"]), symbol), price_text(int(row["stop_tick"]), symbol),
        )
        for row in orders
    ]  # fmt: skip
    return _csv(ORDER_COLUMNS, rows)


def fills_csv(spec: SessionSpec, fills: Sequence[Answered]) -> str:
    """Every fill of the session, the backtest's beside it; `same` is empty where there is none to compare."""
    rows = []
    for one in fills:
        row = one.told[0]
        symbol = spec.instruments[int(row["instrument"])].symbol
        head = (int(row["seq"]), int(row["order_number"]), symbol, ROLES.get(int(row["role"]), ""))
        same = "" if one.made is None else "yes" if one.same else "no"
        rows.append((*head, *_fill(one.told, symbol), *_fill(one.made, symbol), same))
    return _csv(FILL_COLUMNS, rows)


def _fill(rows: np.ndarray | None, symbol: str) -> tuple[object, ...]:
    if rows is None or int(rows["kind"][0]) != FILL:
        return ("",) * 5
    row = rows[0]
    price, fee = price_text(int(row["price_tick"]), symbol), money_text(int(row["fee_micros"]))
    return time_text(int(row["ts_venue_ns"])), _side(row), int(row["qty"]), price, fee


def _side(row: np.record) -> str:
    return {1: "BUY", -1: "SELL"}.get(int(row["side"]), "")


def _csv(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()


def write(
    folder: Path, spec: SessionSpec, values: dict[str, Any], orders: np.ndarray, fills: Sequence[Answered]
) -> None:
    """Three files; the values last, so that where they stand the tables do, too."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PROOF).unlink(missing_ok=True)
    put(folder / ORDERS, orders_csv(spec, orders))
    put(folder / FILLS, fills_csv(spec, fills))
    put(folder / PROOF, json.dumps(values, indent=1, ensure_ascii=False) + "\n")


def spoken(values: dict[str, Any]) -> list[str]:
    """The proof in a few lines."""
    counts = f"{values['orders']:,} orders, {values['fills']:,} fills, state {values['state_sha256']}"
    lines = [f"session {values['session']}, {values['frames']:,} events: {values['verdict']}: {counts}"]
    for part in values["parts"]:
        told = f"{part['name']}: {part['state']}, {part['equal']:,} of {part['recorded']:,}"
        lines.append(told + (f" ({part['why']})" if part["why"] else ""))
        if part.get("race_count"):
            lines.append(
                f"  {part['race_count']:,} requests were served before an event that was up to"
                f" {part['race_us_max']:,} µs older had reached the venue: a backtest gives it the event first"
            )
    for name, side in values["sides"].items():
        net = "not flat at its end" if side["net_micros"] is None else f"net {money_text(side['net_micros'])}"
        lines.append(f"{name}: {side['orders']:,} orders, {side['fills']:,} fills, {net} {values['currency']}")
    if (first := values["first"]) is not None:
        fields = ", ".join(f"{name} {told} / {again}" for name, told, again in first["fields"])
        lines.append(f"first difference: seq {first['seq']}, {time_text(first['ts_ns'])}, {first['what']} of order"
                     f" {first['order']}: {fields or '—'}. {first['why']}")  # fmt: skip
    if values["chain_fault"]:
        lines.append(f"the journal is damaged: {values['chain_fault']}")
    lines += [f"from the record, no backtest has it: {count:,} × {what}" for what, count in values["beside"].items()]
    return lines
