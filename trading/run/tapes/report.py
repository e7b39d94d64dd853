"""What a run over books writes beside a backtest's files: every fill, and a summary that says what fills rest on.

`fills.csv` is exact where a trade's average price is rounded to a tick.  Called by the command `backtest --books`.
"""

import csv
import io
from typing import Any

import numpy as np

from marketdata.core.units import text_from_micros, text_from_ticks
from trading.core.records import ROLES
from trading.run.backtest import outputs
from trading.run.backtest.engine import Result
from trading.run.tapes.engine import TapeRun
from trading.run.tapes.latency import Latency

FILL_COLUMNS = (
    "fill_id", "trade_id", "time", "order_number", "role", "direction", "contracts", "price", "commission", "liquidity",
)  # fmt: skip
UNEXPLAINED = "own"  # role of what the venue itself sold or bought at a close
SIDES = (("bought", 1), ("sold", -1))


def fills_csv(run: TapeRun) -> str:
    """Every fill, one a line; times to the nanosecond, for a book moves within its second."""
    rows, tick_nanos = run.fills(), run.plan.instrument.tick_nanos
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FILL_COLUMNS)
    times = np.datetime_as_string(rows["ts_ns"].astype("M8[ns]"), timezone="UTC").tolist()
    for k, row in enumerate(rows):
        writer.writerow(
            (
                k + 1,
                int(row.trade),
                times[k],
                int(row.order_number),
                ROLES[int(row.role)] if row.order_number > 0 else UNEXPLAINED,
                int(row.side),
                int(row.qty),
                text_from_ticks(int(row.price_tick), tick_nanos),
                text_from_micros(int(row.fee_micros)),
                "maker" if row.maker == 1 else "taker",
            )
        )
    return text.getvalue()


def basis(run: TapeRun, latency: Latency) -> tuple[str, ...]:
    """What a reader must know of these fills before believing a figure."""
    rows = run.fills()
    makers, taken = int((rows["maker"] == 1).sum()), len(rows)
    told = [
        "fills walk the recorded levels and wait behind what was displayed (MOEX-PAPER-01): our own orders move no"
        " market, and nobody cancels ahead of us but down to what is displayed",
        f"{taken} fills, {makers} of them by resting orders; slippage lies inside the levels and is not told apart",
        f"requests travel {latency.words}: {int(latency.samples_ns.min())} to {latency.longest_ns} ns",
    ]
    if run.position != 0:
        told.insert(0, f"{run.position} contracts could not be closed at the end: no price was ever seen")
    return tuple(told)


def summary_of(run: TapeRun, result: Result, latency: Latency, inputs: dict[str, Any]) -> dict[str, Any]:
    """`summary.json` as values: that of bars, with what a tape counts in the place of what bars count."""
    values = outputs.summary_of(result, inputs, run.outside, {}, basis(run, latency))
    period, words = values["period"], values["run"]
    period["events"] = period.pop("bars")
    del period["carried"], words["limit_fill"]
    words |= {"slippage_mode": "levels", "fill_model": "book", "latency": latency.values(), "seed": latency.seed}
    rows = run.fills()
    values["fills"] = {
        "count": len(rows),
        "maker": int((rows["maker"] == 1).sum()),
        "contracts": int(rows["qty"].sum()),
        "fees": {name: text_from_micros(int(rows["fee_micros"][rows["side"] == side].sum())) for name, side in SIDES},
        "requests": run.requests,
    }
    return values
