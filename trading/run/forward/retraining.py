"""A network for every fold, trained anew on that fold's training alone (MES-WF-02): scaler, class weights, network and
calibration.

Rows are those of a file of bar features, within the regular hours.  Early stopping and calibration use validation;
labels that reach over a part's end are left out (purge), the embargo is the folds' own.  What the network says of every
row of the fold is written beside the tape as decisions; parameters are then searched, chosen and tested on them as
those of any other strategy.  A fold that cannot be trained says why.  Called by the command `walkforward`.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from marketdata.bardays import BarDays
from marketdata.core.barfeatures.labels import NO_LABEL
from marketdata.core.barfeatures.schema import LABEL_S
from marketdata.core.units import NANOS
from trading.learning import calibration
from trading.learning.bars.file import BarFile
from trading.learning.dataset import DataError, Rows, Split, Tape, row_bytes
from trading.learning.schemas import SchemaError
from trading.learning.training import FEATURES, TrainRequest, fitted
from trading.research.folds import Fold, Part, Sessions
from trading.research.records import ResearchError
from trading.run.backtest.signals import StrategyBars, ppm_nearest

STRATEGY = f"{__name__}:undecided"
ROWS_MIN = 50  # of a part: fewer train nothing
DOWN, FLAT, UP = 0, 1, 2


class How(NamedTuple):
    """What every fold is trained with: rows of every `every_s`-th second, so many epochs at most."""

    file: Path
    epochs: int
    every_s: int
    seed: int
    memory_bytes_max: int = 2_000_000_000


def undecided(bars: StrategyBars) -> np.ndarray:
    """(n,) int8: nothing; the networks of the folds decide."""
    return np.zeros(len(bars.close), np.int8)


def identity_of(how: How, symbol: str) -> dict[str, Any]:
    """What names the networks of a study.  Raises ResearchError for a file that cannot be used."""
    file = _opened(how, symbol)
    file.close()
    return {"rows": file.rows_hash, "schema": file.schema.hash, "epochs": how.epochs, "every_s": how.every_s}


class Retrainer:
    """Networks for folds over a tape whose bars start at `starts_ns`; decisions are written into `folder`.

    Raises ResearchError for a file that cannot be used."""

    def __init__(self, how: How, symbol: str, starts_ns: np.ndarray, sessions: Sessions, folder: Path) -> None:
        self._how, self._symbol, self._folder = how, symbol, folder
        self._starts_ns, self._sessions = starts_ns, sessions
        self._rows = _rows_of(how, symbol)

    def __call__(self, fold: Fold) -> str:
        """The name of the fold's decisions.  Raises DataError where it cannot be trained."""
        parts = [self._within(part) for part in (fold.train, fold.validation, fold.test)]
        ends_ns = [self._opens(fold.validation), self._opens(fold.test)]
        labelled = [
            part[(self._rows.label[part] != NO_LABEL) & (self._rows.label_ns[part] <= end_ns)]
            for part, end_ns in zip(parts, ends_ns, strict=False)
        ]
        for name, part in zip(("training", "validation"), labelled, strict=True):
            if len(part) < ROWS_MIN:
                raise DataError(f"{name} has {len(part)} labelled rows, {ROWS_MIN} are needed")
        seen = np.concatenate(parts)
        shares = self._probabilities(labelled, seen)
        name = f"fold-{fold.number}.npy"
        np.save(self._folder / name, self._decisions(self._rows.ts_ns[seen], shares))
        return name

    def _within(self, part: Part) -> np.ndarray:
        """Places of the rows that are known inside a part's sessions."""
        first_ns, last_ns = self._opens(part), int(self._sessions.close_ns[part.end - 1])
        ts_ns = self._rows.ts_ns
        return np.flatnonzero((ts_ns > first_ns) & (ts_ns <= last_ns))

    def _opens(self, part: Part) -> int:
        return int(self._sessions.open_ns[part.first])

    def _probabilities(self, labelled: list[np.ndarray], seen: np.ndarray) -> np.ndarray:
        """(n, 3) calibrated shares of the rows `seen`, by a network of the labelled rows of training and validation."""
        how, (train, validation) = self._how, labelled
        used = np.concatenate([train, validation, seen])
        rows = self._rows._replace(
            features=self._rows.features[used], ts_ns=self._rows.ts_ns[used], label=self._rows.label[used],
            label_ns=self._rows.label_ns[used],
        )  # fmt: skip
        places = np.arange(len(used))
        first, second = len(train), len(train) + len(validation)
        split = Split(places[:first], places[first:second], places[second:], 0, 0)
        request = _request(how, self._symbol)
        found = fitted(request, rows, split, lambda *_: None, lambda: False)
        weights = found.fit.class_weights
        told = found.fit.logits(found.x[split.validation])
        temperature = calibration.fit_temperature(told, rows.label[split.validation], weights)
        return calibration.softmax(found.fit.logits(found.x[split.test]), weights, temperature)

    def _decisions(self, known_ns: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """(2, bars) int32, side and confidence of each bar of the tape, by the rows that are known at its end."""
        place = np.searchsorted(self._starts_ns, known_ns - NANOS)
        hit = np.minimum(place, len(self._starts_ns) - 1)
        there = self._starts_ns[hit] == known_ns - NANOS
        found = np.zeros((2, len(self._starts_ns)), np.int32)
        largest = shares.max(axis=1)
        alone = (shares == largest[:, None]).sum(axis=1) == 1  # a tie is nobody's
        side = np.where(alone & (shares[:, UP] == largest), 1, np.where(alone & (shares[:, DOWN] == largest), -1, 0))
        found[0, hit[there]], found[1, hit[there]] = side[there], ppm_nearest(largest[there])
        return found


def _request(how: How, symbol: str) -> TrainRequest:
    tape = Tape(name=FEATURES, symbols=[symbol], path=str(how.file))
    return TrainRequest(tape=tape, symbol=symbol, seconds=0, out="", seed=how.seed, epochs=how.epochs)


def _opened(how: How, symbol: str) -> BarFile:
    try:
        file = BarFile(how.file)
    except (DataError, SchemaError) as error:
        raise ResearchError(str(error)) from None
    if file.symbol != symbol:
        file.close()
        raise ResearchError(f"{how.file} holds {file.symbol}, not {symbol}")
    return file


def _rows_of(how: How, symbol: str) -> Rows:
    """Valid rows within the regular hours, those without a label among them: a row may not be left out because of what
    comes after it.  Raises ResearchError where they need too much memory, or are damaged."""
    file = _opened(how, symbol)
    try:
        size = -(-file.rows // how.every_s) * row_bytes(file.schema.width)
        if size > how.memory_bytes_max:
            raise ResearchError(
                f"the rows of {how.file} need about {size / 1e6:,.0f} MB, above {how.memory_bytes_max / 1e6:,.0f} MB:"
                " take fewer of them with --retrain-every"
            )
        days = BarDays()
        parts = []
        for chunk in file.chunks():
            place = days.places(chunk.second)
            clock = days.days[place]
            inside = (place >= 0) & (chunk.second >= clock["rth_open_s"]) & (chunk.second < clock["rth_close_s"])
            take = inside & chunk.valid & (chunk.second % how.every_s == 0)
            parts.append((chunk.features[take], chunk.second[take], chunk.label[take]))
    except DataError as error:
        raise ResearchError(str(error)) from None
    finally:
        file.close()
    features, second, label = (np.concatenate(column) for column in zip(*parts, strict=True))
    known_ns = (second + 1) * NANOS
    return Rows(features, known_ns, label, known_ns + LABEL_S * NANOS, NANOS, len(second), file.schema)
