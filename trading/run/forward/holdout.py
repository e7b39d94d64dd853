"""The one opening of a walk's hold-out: by a named person, written down before it is traded (MES-WF-03).

What is opened is the one configuration of all folds, on the sessions that no fold touched.  The desk's registry keeps
who opened which sessions of which instrument, when, with what; what any study opened before, be it one of the sessions
and read from another file, is contaminated for every later one, and says so.  The ledger refuses other parameters on
the same stretch.  Called by the command `walkforward`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from marketdata.core.units import text_from_micros
from trading.research.folds import Part
from trading.research.luck.plateau import Point
from trading.research.records import ResearchError
from trading.run.backtest.summary import utc
from trading.run.search.crew import Crew
from trading.run.search.ledger import Ledger, Trial
from trading.run.search.registry import Opening, note_opening, openings_of
from trading.run.search.study import Stretch, once

STAGE = "hold-out"


class Opened(NamedTuple):
    """A hold-out that was opened: its trial, and every opening of these sessions, this one among them, in order."""

    trial: Trial
    opening: Opening
    before: Sequence[Opening]

    @property
    def contaminated(self) -> bool:
        """Somebody had looked at these sessions before."""
        return bool(self.before)


def open_holdout(
    ledger: Ledger, crew: Crew, starts_ns: np.ndarray, part: Part, point: Point, by: str, at_ns: int
) -> None:
    """Trade the sessions of the hold-out once, the name written down first.  Raises ResearchError where there are none,
    where nobody is named, or where this study opened it with other parameters."""
    if not by.strip():
        raise ResearchError("a hold-out is opened by a person: --open-holdout NAME")
    if part.sessions == 0:
        raise ResearchError("there is no hold-out to open")
    assert ledger.counted is not None, "without a registry nobody could tell that it was opened before"
    first, end = np.searchsorted(starts_ns, [part.open_ns, part.close_ns]).tolist()
    if first >= end:
        raise ResearchError("there is no bar in the sessions of the hold-out")
    config = crew.bench.plan(crew.bench.subject.space.values(point))
    if isinstance(config, str):
        raise ResearchError(f"the configuration cannot be traded: {config}")
    identity = ledger.identity()
    opening = Opening(
        str(identity["data_hash"]), part.open_ns, part.close_ns, by.strip(), at_ns, config.config_hash, ledger.key(),
        str(identity["symbol"]),
    )  # fmt: skip
    note_opening(ledger.counted, opening)
    once(ledger, crew, Stretch(STAGE, first, end), point, 1)


def opened(ledger: Ledger, part: Part) -> Opened | None:
    """What this study's opening showed; None while it is sealed.  The first to open counts.  Raises ResearchError."""
    trials = ledger.trials(STAGE)
    if not trials or ledger.counted is None:
        return None
    known = openings_of(ledger.counted, str(ledger.identity()["symbol"]), part.open_ns, part.close_ns)
    own = ledger.key()
    mine = [opening for opening in known if opening.study == own]
    if not mine:
        raise ResearchError(f"{ledger.path} holds a test of the hold-out, and the desk's registry knows of no opening")
    return Opened(trials[0], mine[0], [one for one in known[: known.index(mine[0])] if one.study != own])


def values_of(found: Opened | None) -> dict[str, Any] | None:
    """`opened` of walkforward.json."""
    if found is None:
        return None
    trial, opening = found.trial, found.opening
    return {
        "by": opening.by,
        "at": utc(opening.at_ns),
        "config_hash": opening.config_hash,
        "trades": trial.trades,
        "net": text_from_micros(trial.net_micros),
        "score": trial.score,
        "why": trial.why,
        "contaminated": found.contaminated,
        "before": [{"by": one.by, "at": utc(one.at_ns), "config_hash": one.config_hash} for one in found.before],
    }


def words_of(found: Opened) -> str:
    """The same in a sentence."""
    trial, opening = found.trial, found.opening
    net = text_from_micros(trial.net_micros)
    told = f"opened {utc(opening.at_ns)} by {opening.by}: {trial.trades:,} trades, net {net}"
    if not found.contaminated:
        return told
    first = found.before[0]
    return f"{told}; CONTAMINATED: {first.by} had opened these sessions {utc(first.at_ns)}"
