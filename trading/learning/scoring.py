"""Who scores the market in a session: the transparent baseline or a trained network, behind one small interface.

A scorer turns one warm feature vector into (side, score_ppm, confidence_ppm); `Scan` finds the events at which a vector
is scored.  No torch is imported here, and no I/O happens after `open_scorer`.  Called by the inference loop.

Baseline (docs/scoring.md; no edge is claimed):
    I = clip(imbalance_5 / imbalance_full)                      book terms only while a usable book is known
    T = trade_imbalance_10
    M = clip(momentum_fast / (momentum_full x max(rv_30, rv_floor)))
    score = (w_imbalance I + w_trades T + w_momentum M) / (w_imbalance + w_trades + w_momentum), clip to -1 .. 1
    without a book: score = M.   confidence = min(1, |score| x confidence_scale).
    side = sign(score) when |score| >= threshold, else 0.   Heuristic, on book features: see `HeuristicScorer`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numba import njit

from marketdata.core import features_schema as f
from marketdata.core.bookfeatures.schema import FEATURE_NAMES as BOOK_NAMES
from marketdata.core.features_stream import Record, ready, update, vector
from marketdata.core.records import BAR, BOOK, FLAG_BACKFILL, FLAG_INVALID, NO_TIME, QUOTE
from marketdata.core.units import PPM
from trading.learning.artifacts import Artifact, load
from trading.learning.forward import probabilities
from trading.learning.schemas import BOOK_SCHEMA, STREAM_SCHEMA, Schema

THROTTLE_NS = 100_000_000  # a quote or book is scored at most this often, by the venue's time; a closed bar always
NEUTRAL_NS = 1_000_000_000  # a score without a side is sent at most this often

BASELINE_OPTIONS = {
    "w_imbalance": 0.5,
    "w_trades": 0.1,
    "w_momentum": 0.4,
    "imbalance_full": 0.5,  # imbalance that counts as full
    "momentum_full": 2.0,  # momentum that counts as full, in deviations of one step
    "rv_floor": 0.25,  # ticks: keeps a dead market from dividing by nothing
    "threshold": 0.35,  # |score| from which a side is named
    "confidence_scale": 1.0,
}
HEURISTIC_OPTIONS = {"imbalance": 0.7, "volatility": 0.01, "confidence": 0.7}
NETWORK_OPTIONS = {
    "edge_min": -1.0,  # >= 0: side = sign of p_up - p_down from this difference on; else the most probable class
    "health_s": 1800.0,  # how often its health is looked at, venue time (T-06, MOEX-MON-03)
}
HEALTH_S_MIN, HEALTH_S_MAX = 60, 86_400
_IMBALANCE, _VOLATILITY = BOOK_NAMES.index("imbalance"), BOOK_NAMES.index("volatility")


class ScorerError(ValueError):
    """A scorer that cannot be opened: unknown name, unknown option, bad value.  The message says which."""


class Score(NamedTuple):
    """What one vector says: side -1/0/+1, p_up - p_down and confidence in parts per million."""

    side: int
    score_ppm: int
    confidence_ppm: int


class Scorer(Protocol):
    """Scores one vector (schema.width,) float64 that is warm and finite."""

    name: str
    schema: Schema  # of the vectors that it reads
    step_ns: int  # grid step that the scorer was made for; 0 = any

    def score(self, features: np.ndarray) -> Score: ...


@njit(cache=True)
def _clip(x: float) -> float:
    return min(max(x, -1.0), 1.0)


@njit(cache=True)
def baseline_score(features: np.ndarray, values: np.ndarray) -> float:
    """The baseline's score in -1 .. 1; `values` in the order of BASELINE_OPTIONS."""
    volatility = max(features[f.RV_30], values[5])
    momentum = _clip(features[f.MOMENTUM_FAST] / (values[4] * volatility))
    if features[f.SPREAD_TICKS] <= 0.0:
        return momentum
    imbalance = _clip(features[f.IMBALANCE_5] / values[3])
    total = values[0] + values[1] + values[2]
    return _clip((values[0] * imbalance + values[1] * features[f.TRADE_IMBALANCE_10] + values[2] * momentum) / total)


def _options(known: Mapping[str, float], given: Mapping[str, float], name: str) -> dict[str, float]:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ScorerError(f"the {name} scorer has no option {', '.join(unknown)}; it has: {', '.join(sorted(known))}")
    bad = sorted(key for key, value in given.items() if not np.isfinite(value))
    if bad:
        raise ScorerError(f"option {bad[0]} of the {name} scorer is not a finite number")
    return {**known, **given}


class BaselineScorer:
    """The documented formula on imbalance and momentum; see the head of this file."""

    name = "baseline"
    schema = STREAM_SCHEMA
    step_ns = 0

    def __init__(self, options: Mapping[str, float]) -> None:
        values = _options(BASELINE_OPTIONS, options, self.name)
        weights = [values[key] for key in ("w_imbalance", "w_trades", "w_momentum")]
        if min(weights) < 0 or sum(weights) <= 0:
            raise ScorerError("weights of the baseline scorer are not negative and not all zero")
        for key in ("imbalance_full", "momentum_full", "rv_floor", "threshold", "confidence_scale"):
            if values[key] <= 0:
                raise ScorerError(f"option {key} of the baseline scorer must be above zero")
        self.values = np.array([values[key] for key in BASELINE_OPTIONS])
        self._threshold = values["threshold"]
        self._confidence_scale = values["confidence_scale"]

    def score(self, features: np.ndarray) -> Score:
        score = baseline_score(features, self.values)
        side = 0 if abs(score) < self._threshold else (1 if score > 0 else -1)
        confidence = min(1.0, abs(score) * self._confidence_scale)
        return Score(side, round(score * PPM), round(confidence * PPM))


class HeuristicScorer:
    """Imbalance of a book that moves: the formula of MOEX-ML-06, whose quota, alert and audit an ensemble has.

    side = sign(imbalance) when |imbalance| > 0.7 and volatility > 0.01 a year, else 0.
    confidence = 0.7, score = side x 0.7.
    """

    name = "heuristic"
    schema = BOOK_SCHEMA
    step_ns = 0

    def __init__(self, options: Mapping[str, float]) -> None:
        values = _options(HEURISTIC_OPTIONS, options, self.name)
        if not (0 < values["imbalance"] < 1 and values["volatility"] >= 0 and 0 < values["confidence"] <= 1):
            raise ScorerError("imbalance and confidence of the heuristic are shares of 1, its volatility not negative")
        self._imbalance, self._volatility = values["imbalance"], values["volatility"]
        self._sure = round(values["confidence"] * PPM)

    def score(self, features: np.ndarray) -> Score:
        imbalance = float(features[_IMBALANCE])
        moves = float(features[_VOLATILITY]) > self._volatility
        side = 0 if not moves or abs(imbalance) <= self._imbalance else (1 if imbalance > 0 else -1)
        return Score(side, side * self._sure, self._sure)


class NetworkScorer:
    """A trained network's calibrated probabilities of down, flat, up (MES-ML-10)."""

    name = "network"

    def __init__(self, artifact: Artifact, options: Mapping[str, float]) -> None:
        self.artifact = artifact
        self.schema = artifact.schema
        self.step_ns = artifact.manifest.step_ns
        values = _options(NETWORK_OPTIONS, options, self.name)
        self._edge_min, self.health_s = values["edge_min"], values["health_s"]
        if not HEALTH_S_MIN <= self.health_s <= HEALTH_S_MAX:
            raise ScorerError(f"health_s is {HEALTH_S_MIN} to {HEALTH_S_MAX} seconds, not {self.health_s:g}")
        self._net = artifact.network
        self.shares = np.zeros(3)  # calibrated probabilities of down, flat and up of the last answer

    def score(self, features: np.ndarray) -> Score:
        """Raises ScorerError when the network answers with anything that is no probability (MES-ML-15)."""
        down, flat, up = probabilities(self._net, features, self.shares)
        if not (0.0 <= down <= 1.0 and 0.0 <= flat <= 1.0 and 0.0 <= up <= 1.0):
            raise ScorerError(f"the network answered down={down}, flat={flat}, up={up}: not probabilities")
        difference = up - down
        if self._edge_min >= 0:
            side = 0 if abs(difference) < self._edge_min or difference == 0 else (1 if difference > 0 else -1)
        elif up > flat and up > down:
            side = 1
        elif down > flat and down > up:
            side = -1
        else:
            side = 0  # flat, or an exact tie
        return Score(side, round(difference * PPM), round(max(down, flat, up) * PPM))


def open_scorer(name: str, artifact: str, options: Mapping[str, float]) -> Scorer | None:
    """The scorer that a session names; None for "none".  Raises ScorerError, or ArtifactError for a bad artifact."""
    if name == "none":
        return None
    if name == "baseline":
        return BaselineScorer(options)
    if name == "heuristic":
        return HeuristicScorer(options)
    if name == "network":
        if artifact == "":
            raise ScorerError("the network scorer needs an artifact: the folder that `manage.py train` wrote")
        return NetworkScorer(load(Path(artifact)), options)
    raise ScorerError(f"scorer {name!r} is unknown; known: baseline, heuristic, network, none")


@njit(cache=True)
def due(states: np.ndarray, scored_ns: np.ndarray, event: Record, throttle_ns: int) -> bool:
    """Whether the event just applied to `states` is to be scored; notes the time in `scored_ns` when it is.

    `scored_ns` (instruments,): venue time at which each was last scored, NO_TIME at first.  Back-fill and unusable
    books only warm up; a closed bar that sets the price is always scored; a quote or book once per `throttle_ns`.
    """
    kind = event.kind
    if kind != BAR and kind != QUOTE and kind != BOOK:
        return False
    which = event.instrument
    if which < 0 or which >= len(states) or event["flags"] & (FLAG_BACKFILL | FLAG_INVALID) != 0:
        return False
    state = states[which]
    if not ready(state):
        return False
    if kind == BAR:
        if state.quoted == 1:
            return False
    else:
        last = scored_ns[which]
        if state.book_ok == 0 or (last != NO_TIME and state.now_ns - last < throttle_ns):
            return False
    scored_ns[which] = state.now_ns
    return True


@njit(cache=True)
def scan(
    states: np.ndarray,
    scored_ns: np.ndarray,
    events: np.ndarray,
    depths: np.ndarray,
    depth_of: np.ndarray,
    start: int,
    throttle_ns: int,
    out: np.ndarray,
) -> int:
    """Move the states by events[start:] up to the next event that is `due`; its vector is then in `out`.

    Returns that event's index, or len(events) when there is none.
    """
    for i in range(start, len(events)):
        update(states, events, depths, depth_of, i)
        if due(states, scored_ns, events[i], throttle_ns):
            vector(states[events[i].instrument], out)
            return i
    return len(events)
