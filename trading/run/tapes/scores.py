"""Who decides on a tape of books: a scorer as in a session, or a policy of one's own, asked event by event.

A scorer is moved by the very features of the inference loop and sends what that would send.  A policy sees one event
and the account as it stands then, and cannot see further: the loop has not gone there yet.  Called by the command
`backtest --books`; nothing here trades.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from marketdata.core.records import NO_TICK, new_events
from marketdata.core.units import PPM
from trading.core.records import SCORE
from trading.learning.artifacts import ArtifactError
from trading.learning.feeding import open_feeding
from trading.learning.scoring import NEUTRAL_NS, NetworkScorer, Scorer, ScorerError, open_scorer
from trading.run.backtest.codehash import code_hash
from trading.run.backtest.own import module_of
from trading.run.backtest.plan import BacktestError
from trading.run.feeding.active import ActiveSet

POLICY = "policy"


class View(NamedTuple):
    """The account and the market when a policy is asked.  Prices in ticks, money in micros, time in ns UTC."""

    now_ns: int
    position: int  # signed
    average_tick: float  # of the entries; NaN while flat
    bid_tick: int | None
    ask_tick: int | None
    last_tick: int | None
    equity_micros: int
    balance_micros: int
    can_enter: bool  # no hold keeps entries out; the gate may still refuse one


class Policy(Protocol):
    """A strategy of one's own.  It is made once, without arguments or with those of `--set strategy.NAME=VALUE`."""

    def on_event(self, event: np.record, depth: np.record | None, view: View) -> tuple[int, float] | None:
        """(class −1, 0 or +1, confidence 0 … 1), or None for nothing.

        `event`: an EVENT that the kernel has heard, `depth`: the 20 levels beside a BOOK.  Both are read-only.
        """
        ...


class Asked(NamedTuple):
    """What a policy is and what names it in results."""

    policy: Policy
    words: str
    code_hash: str


class Scoring:
    """A scorer over the tape.  `scores` is given every event in order; back-fill is only to warm the features.

    It sends what `InferenceLoop` would send, which a test holds against a session that was recorded.
    """

    def __init__(self, scorer: Scorer, symbols: Sequence[str], active: ActiveSet | None = None) -> None:
        self._scorer = scorer
        self._active = ActiveSet(len(symbols), watched=False) if active is None else active
        self._feeding = open_feeding(scorer.schema, symbols)
        self._neutral_ns: dict[int, int] = {}
        self.missing = 0  # moments at which the scorer had no answer

    @property
    def artifact_hash(self) -> str:
        """What a session names its network by; empty for a scorer that the code alone makes."""
        return self._scorer.artifact.id if isinstance(self._scorer, NetworkScorer) else ""

    def scores(
        self, events: np.ndarray, depths: np.ndarray, depth_of: np.ndarray, *, silent: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """(places, SCORE rows): each is sent before `events[place]`, that is right behind the event it was made of.

        `silent`: move the features and send nothing.  Raises BacktestError where the scorer does not fit the tape.
        """
        places: list[int] = []
        found: list[np.ndarray] = []
        self._active.note(events)
        for index in self._feeding.moments(events, depths, depth_of):
            may = not silent and self._active.has(int(events["instrument"][index]))
            if may and (row := self._row(events[index])) is not None:
                places.append(index + 1)
                found.append(row)
        rows = new_events(len(found))
        for k, row in enumerate(found):
            rows[k] = row[0]
        return np.array(places, np.int64), rows

    def _row(self, event: np.record) -> np.ndarray | None:
        which, at_ns = int(event["instrument"]), int(event["ts_venue_ns"])
        step_ns = self._feeding.step_ns(which)
        if self._scorer.step_ns not in (0, step_ns):
            raise BacktestError(
                f"the network was made for a grid of {self._scorer.step_ns} ns, the tape has one of {step_ns} ns"
            )
        try:
            score = self._scorer.score(self._feeding.vector)
        except ScorerError:  # as in a session: counted, and the next moment is another one
            self.missing += 1
            return None
        if score.side == 0:  # as in a session: it is sent at most once a second
            if which in self._neutral_ns and at_ns - self._neutral_ns[which] < NEUTRAL_NS:
                return None
            self._neutral_ns[which] = at_ns
        else:
            self._neutral_ns.pop(which, None)
        return score_row(int(event["ts_ns"]), at_ns, which, score.side, score.score_ppm, score.confidence_ppm)


def score_row(ts_ns: int, market_ns: int, which: int, side: int, score_ppm: int, confidence_ppm: int) -> np.ndarray:
    """One SCORE EVENT, (1,)."""
    row = new_events(1)
    row["kind"], row["instrument"], row["side"] = SCORE, which, side
    row["score_ppm"], row["confidence_ppm"] = score_ppm, confidence_ppm
    row["ts_ns"], row["ts_venue_ns"] = ts_ns, market_ns
    return row


def answer_row(answer: object, event: np.record) -> np.ndarray | None:
    """What a policy said as a SCORE, (1,); None for nothing.  Raises BacktestError for what is no answer."""
    if answer is None:
        return None
    try:
        given, confidence = answer  # type: ignore[misc]
        side, share = int(given), float(confidence)  # type: ignore[has-type]
    except (TypeError, ValueError):
        raise BacktestError(f"the policy answered {answer!r}: give None or (class, confidence)") from None
    if side not in (-1, 0, 1) or not 0.0 <= share <= 1.0:
        raise BacktestError(f"the policy answered {answer!r}: a class is −1, 0 or +1, a confidence within 0 .. 1")
    if side == 0:
        return None
    at_ns = int(event["ts_ns"])
    return score_row(at_ns, int(event["ts_venue_ns"]), int(event["instrument"]), side, side * PPM, round(share * PPM))


def view_of(state: object, now_ns: int) -> View:
    """The account and instrument 0 of a kernel's state, for a policy."""
    account, p = state.account[0], state.positions[0]  # type: ignore[attr-defined]
    average = int(p.trade_entry_ticks) / int(p.trade_entry_qty) if p.qty != 0 and p.trade_entry_qty > 0 else np.nan
    bid, ask, last = (None if int(tick) == NO_TICK else int(tick) for tick in (p.bid_tick, p.ask_tick, p.last_tick))
    return View(
        now_ns=now_ns,
        position=int(p.qty),
        average_tick=average,
        bid_tick=bid,
        ask_tick=ask,
        last_tick=last,
        equity_micros=int(account.equity_micros),
        balance_micros=int(account.balance_micros),
        can_enter=int(account.holds) == 0 and int(p.holds) == 0 and int(account.trading) == 1,
    )


def scoring_of(
    words: str, options: dict[str, float], symbols: Sequence[str], active: ActiveSet | None = None
) -> Scoring:
    """`baseline` or `network:FOLDER`, as a session would open it; `active`: who is scored.  Raises BacktestError."""
    name, _, artifact = words.partition(":")
    try:
        scorer = open_scorer(name, artifact, options)
        if scorer is None:
            raise BacktestError("books need somebody who decides: baseline, network:FOLDER or policy:module:Class")
        return Scoring(scorer, symbols, active)
    except (ScorerError, ArtifactError) as error:
        raise BacktestError(str(error)) from None


def policy_of(words: str, arguments: dict[str, object]) -> Asked:
    """`policy:module:Class`, made with its arguments.  Raises BacktestError."""
    _, _, path = words.partition(":")
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        raise BacktestError(f"strategy {words!r} is not policy:module:Class")
    try:
        module = module_of(module_name, Path.cwd())
    except (Exception, SystemExit) as error:  # it is somebody's own
        raise BacktestError(f"strategy {words!r}: its module failed: {type(error).__name__}: {error}") from error
    made = getattr(module, name, None)
    if not callable(made):
        raise BacktestError(f"strategy {words!r}: {module_name} has no class {name}")
    try:
        policy = made(**arguments)
    except TypeError as error:
        raise BacktestError(f"strategy {words!r}: {error}") from error
    if not callable(getattr(policy, "on_event", None)):
        raise BacktestError(f"strategy {words!r}: it has no method on_event")
    source = getattr(module, "__file__", None)
    return Asked(policy, words, code_hash(source if source and Path(source).suffix == ".py" else None))
