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
from trading.learning.bars.origin import way_of
from trading.learning.dataset import DataError, Rows, Split, Tape
from trading.learning.schemas import SchemaError
from trading.learning.training import FEATURES, TrainRequest, fitted
from trading.research.folds import Fold, Part, Sessions
from trading.research.golive.networks import Told, joined
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
    named = {"rows": file.rows_hash, "schema": file.schema.hash, "epochs": how.epochs, "every_s": how.every_s}
    return named | {"way": way_of(_request(how, symbol))}


class Retrainer:
    """Networks for folds over a tape whose bars start at `starts_ns`; decisions are written into `folder`.

    Raises ResearchError for a file that cannot be used."""

    def __init__(self, how: How, symbol: str, starts_ns: np.ndarray, sessions: Sessions, folder: Path) -> None:
        self._how, self._symbol, self._folder = how, symbol, folder
        self._starts_ns, self._sessions = starts_ns, sessions
        self._rows = _rows_of(how, symbol)
        self._told: dict[int, Told] = {}

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
        self._told[fold.number] = self._tell(parts[2], shares[len(seen) - len(parts[2]) :], labelled[0])
        name = f"fold-{fold.number}.npy"
        np.save(self._folder / name, self._decisions(self._rows.ts_ns[seen], shares))
        return name

    def told(self) -> Told | None:
        """The labelled rows of all tests with what their networks said of them; None without one."""
        parts = [self._told[number] for number in sorted(self._told)]
        return joined(parts) if parts else None

    def _tell(self, test: np.ndarray, shares: np.ndarray, trained: np.ndarray) -> Told:
        """Of places `test` and what was said there, (n, 3); `trained`: places of the training."""
        known = self._rows.label[test] != NO_LABEL
        test, shares = test[known], shares[known]
        base = np.bincount(self._rows.label[trained], minlength=shares.shape[1]) / len(trained)
        day = np.searchsorted(self._sessions.open_ns, self._rows.ts_ns[test])
        return Told(shares, self._rows.label[test].astype(np.int64), day, np.tile(base, (len(test), 1)))

    def _within(self, part: Part) -> np.ndarray:
        """Places of the rows that are known inside a part's sessions."""
        first_ns, last_ns = self._opens(part), int(self._sessions.close_ns[part.end - 1])
        ts_ns = self._rows.ts_ns
        return np.flatnonzero((ts_ns > first_ns) & (ts_ns <= last_ns))

    def _opens(self, part: Part) -> int:
        return int(self._sessions.open_ns[part.first])

    def _probabilities(self, labelled: list[np.ndarray], seen: np.ndarray) -> np.ndarray:
        """(n, 3) calibrated shares of the rows `seen`, places in time order, by a network of the labelled rows among
        them of training and validation."""
        how = self._how
        rows = self._rows._replace(
            features=self._rows.features[seen], ts_ns=self._rows.ts_ns[seen], label=self._rows.label[seen],
            label_ns=self._rows.label_ns[seen],
        )  # fmt: skip
        train, validation = (np.searchsorted(seen, part) for part in labelled)
        split = Split(train, validation, np.arange(len(seen)), 0, 0)
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


def held_bytes(width: int) -> int:
    """Memory of one row of so many features at the worst moment, that of the scaler: the file's row, its copy in a
    fold, and, as training may be nearly all of it, two more (the training rows and their deviations), each 8 bytes a
    feature; then times, labels and places.  Measured over 60,000 rows of 60 features: 0.93 of it where nine tenths of a
    fold train, 0.79 where six do."""
    return 4 * width * 8 + 4 * 17


def _rows_of(how: How, symbol: str) -> Rows:
    """Valid rows within the regular hours, those without a label among them: a row may not be left out because of what
    comes after it.  Raises ResearchError where they need too much memory, or are damaged."""
    file = _opened(how, symbol)
    try:
        days = BarDays()
        parts = []
        size = 0  # of what was taken, by what it will need: most of a file may lie outside the regular hours
        for chunk in file.chunks():
            place = days.places(chunk.second)
            clock = days.days[place]
            inside = (place >= 0) & (chunk.second >= clock["rth_open_s"]) & (chunk.second < clock["rth_close_s"])
            take = inside & chunk.valid & (chunk.second % how.every_s == 0)
            size += int(take.sum()) * held_bytes(file.schema.width)
            if size > how.memory_bytes_max:
                raise ResearchError(
                    f"the networks on {how.file} need more than {how.memory_bytes_max / 1e6:,.0f} MB of memory:"
                    " take fewer of its rows with --retrain-every"
                )
            parts.append((chunk.features[take], chunk.second[take], chunk.label[take]))
    except DataError as error:
        raise ResearchError(str(error)) from None
    finally:
        file.close()
    features, second, label = (np.concatenate(column) for column in zip(*parts, strict=True))
    known_ns = (second + 1) * NANOS
    return Rows(features, known_ns, label, known_ns + LABEL_S * NANOS, NANOS, len(second), file.schema)
