"""Training of one network from one tape, start to artifact; nothing half-written, the same bits for the same seed.

`train(request, progress, cancelled)` is what `manage.py train` and the Celery task call.  Recipe of MES-ML-07: weighted
cross entropy, AdamW, rate halved on a plateau, clipped gradient, early stop on validation log loss, best weights kept.
Test rows are evaluated once, at the end.  No edge is claimed by any figure that it reports.
"""

import hashlib
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from marketdata.core.barfeatures.schema import LABEL_S, LABEL_TICKS
from trading.learning import artifacts, calibration
from trading.learning.bars.origin import origin_of
from trading.learning.dataset import (
    Cancelled,
    DataError,
    Rows,
    Split,
    Tape,
    class_weights_of,
    estimate_bytes,
    read_rows,
    row_bytes,
    rows_hash,
    scaler_of,
    split_days,
    split_rows,
)
from trading.learning.forward import CLASSES
from trading.learning.health.making import Made, make_reference
from trading.learning.networks import DROPOUT, HIDDEN, feed_forward, tensors_of, weights_of

if TYPE_CHECKING:
    import torch

    from trading.learning.bars.file import BarFile

NANOS, MILLI = 1_000_000_000, 1_000_000
FEATURES = "features"  # name of a tape that is a file of bar features
READ_SHARE = 0.4  # of the progress bar
PROGRESS_TOTAL, SCALED_ROWS = 1000, 4096  # rows at a time
CLAIM = "These figures describe one data set; nothing is claimed about any other market or about profit."

Progress = Callable[[int, int, str], None]
Cancel = Callable[[], bool]


class TrainRequest(msgspec.Struct, frozen=True):
    """What to train from what.  Times in seconds unless the name says otherwise; rows at most every `every_ms`."""

    tape: Tape
    symbol: str
    seconds: int
    out: str
    seed: int = 42
    horizon_s: float = 30.0
    cost_ticks: float = 3.0  # a move must be larger than this to be up or down
    every_ms: int = 500
    embargo_s: float = 60.0
    hidden: tuple[int, ...] = HIDDEN
    dropout: float = DROPOUT
    epochs: int = 50
    batch: int = 256
    rate: float = 1e-3
    weight_decay: float = 1e-4
    patience: int = 10
    loss_delta_min: float = 0.001
    memory_bytes_max: int = 2_000_000_000


class TrainReport(msgspec.Struct, frozen=True):
    """What came out; `metrics` per part with sample sizes and baselines."""

    out: str
    artifact_id: str
    symbol: str
    rows: int
    purged: int
    embargoed: int
    events: int
    epochs: int
    temperature: float
    metrics: dict[str, calibration.Metrics]
    data_hash: str
    seed: int
    claim: str = CLAIM


def estimate(request: TrainRequest) -> tuple[int, int]:
    """(rows, bytes) at most, before anything is read.  For a whole recording (seconds 0) one day is assumed.

    A file of bar features knows its rows.  Raises DataError, SchemaError for one that cannot be used.
    """
    if request.tape.name == FEATURES:
        file = _open_file(request)
        file.close()
        rows = -(-file.rows // _every_s(request))
        return rows, rows * row_bytes(file.schema.width)
    return estimate_bytes(request.seconds if request.seconds > 0 else 86_400, request.every_ms)


def check_rows(request: TrainRequest) -> None:
    """Refuse rows that cannot be trained on, before any work.  Raises DataError."""
    positive = {
        "horizon": request.horizon_s,
        "every_ms": request.every_ms,
        "epochs": request.epochs,
        "batch": request.batch,
        "learning rate": request.rate,
        "patience": request.patience,
    }
    for name, value in positive.items():
        if not value > 0:
            raise DataError(f"{name} must be above zero, not {value}")
    if request.seconds < 0 or request.embargo_s < 0 or request.cost_ticks < 0:
        raise DataError("seconds, embargo and cost are not negative")
    if request.symbol not in request.tape.symbols:
        raise DataError(f"{request.symbol} is not on the tape; it has {', '.join(request.tape.symbols)}")
    rows, size = estimate(request)
    if size > request.memory_bytes_max:
        limit = request.memory_bytes_max / 1e6
        raise DataError(
            f"about {rows:,} rows need {size / 1e6:,.0f} MB, above {limit:,.0f} MB: fewer seconds or larger every_ms"
        )


def check_request(request: TrainRequest) -> None:
    """The same, and a place where no artifact can stand.  Raises DataError or ArtifactError."""
    check_rows(request)
    artifacts.check_target(Path(request.out))


def _every_s(request: TrainRequest) -> int:
    return max(1, request.every_ms // 1000)


def _open_file(request: TrainRequest) -> "BarFile":
    """The file of bar features; its labels are those of the schema, so nothing else can be asked for."""
    from trading.learning.bars.file import BarFile

    if (request.horizon_s, request.cost_ticks) != (LABEL_S, LABEL_TICKS):
        raise DataError(
            f"the labels of {request.tape.path} look {LABEL_S} s ahead for more than {LABEL_TICKS} ticks:"
            " no other horizon or cost can be asked for"
        )
    file = BarFile(Path(request.tape.path))
    if file.symbol != request.symbol:
        file.close()
        raise DataError(f"{request.tape.path} holds {file.symbol}, not {request.symbol}")
    return file


def read_parts(request: TrainRequest, progress: Progress, cancelled: Cancel) -> tuple[Rows, Split]:
    """Rows and parts: of a file of bar features by whole trading days, of a tape by rows."""

    def report(done: int, share: float, what: str) -> None:
        progress(int(share * READ_SHARE * PROGRESS_TOTAL), PROGRESS_TOTAL, f"read {done:,} {what}")

    if request.tape.name == FEATURES:
        from trading.learning.bars.file import read_bar_rows

        file = _open_file(request)
        try:
            rows, days = read_bar_rows(
                file, _every_s(request), lambda done, share: report(done, share, "rows"), cancelled
            )
        finally:
            file.close()
        return rows, split_days(rows, days)
    rows = _read_tape(request, lambda done, share: report(done, share, "events"), cancelled)
    return rows, split_rows(rows, round(request.embargo_s * NANOS))


def _read_tape(request: TrainRequest, report: Callable[[int, float], None], cancelled: Cancel) -> Rows:
    from marketdata.feeds.registry import open_feed

    feed = open_feed(request.tape)
    try:
        return read_rows(
            feed,
            request.tape.symbols.index(request.symbol),
            len(request.tape.symbols),
            seconds=request.seconds,
            every_ns=request.every_ms * MILLI,
            horizon_ns=round(request.horizon_s * NANOS),
            cost_ticks=request.cost_ticks,
            report=report,
            cancelled=cancelled,
        )
    finally:
        feed.close()


class _Fit:
    """One run of the recipe; holds torch's objects for as long as it lasts."""

    def __init__(self, request: TrainRequest, class_weights: np.ndarray, width: int) -> None:
        import torch

        torch.set_num_threads(1)  # the same bits on every machine with the same build, and no fight for cores
        torch.manual_seed(request.seed)
        self.torch = torch
        self.request = request
        self.network = feed_forward(width, request.hidden, request.dropout)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=request.rate, weight_decay=request.weight_decay
        )
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(self.optimiser, factor=0.5, patience=5)
        self.loss = torch.nn.CrossEntropyLoss(weight=torch.tensor(class_weights, dtype=torch.float32))
        self.order = torch.Generator().manual_seed(request.seed)
        self.class_weights = class_weights

    def epoch(self, x: "torch.Tensor", y: "torch.Tensor", cancelled: Cancel) -> float:
        """One pass over the train rows in a seeded order; returns the mean weighted loss."""
        torch = self.torch
        self.network.train()
        order = torch.randperm(len(x), generator=self.order)
        total, batches = 0.0, 0
        for at in range(0, len(x), self.request.batch):
            if cancelled():
                raise Cancelled
            rows = order[at : at + self.request.batch]
            if len(rows) < 2:
                continue  # batch normalisation has no variance of one row
            self.optimiser.zero_grad(set_to_none=True)
            loss = self.loss(self.network(x[rows]), y[rows])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimiser.step()
            total, batches = total + float(loss.detach()), batches + 1
        return total / max(1, batches)

    def logits(self, x: "torch.Tensor") -> np.ndarray:
        """(n, 3) float32 of the network in evaluation mode."""
        self.network.eval()
        with self.torch.no_grad():
            return np.concatenate([self.network(part).numpy() for part in self.torch.split(x, 1024)])

    def run(
        self, x: Any, y: Any, x_val: Any, y_val: np.ndarray, progress: Progress, cancelled: Cancel
    ) -> list[dict[str, float]]:
        """Train with early stopping; leaves the best weights in the network and returns the history."""
        best, best_weights, waited = np.inf, tensors_of(self.network), 0
        history: list[dict[str, float]] = []
        for number in range(self.request.epochs):
            train_loss = self.epoch(x, y, cancelled)
            val_loss = calibration.log_loss(calibration.softmax(self.logits(x_val), self.class_weights, 1.0), y_val)
            if not np.isfinite(val_loss) or not np.isfinite(train_loss):
                raise DataError(f"training diverged in epoch {number + 1}: loss {train_loss}, validation {val_loss}")
            self.plateau.step(val_loss)
            history.append({"epoch": float(number + 1), "train_loss": train_loss, "validation_log_loss": val_loss})
            share = READ_SHARE + (0.98 - READ_SHARE) * (number + 1) / self.request.epochs
            progress(
                int(share * PROGRESS_TOTAL), PROGRESS_TOTAL, f"epoch {number + 1}: validation log loss {val_loss:.4f}"
            )
            if val_loss < best - self.request.loss_delta_min:
                best, best_weights, waited = val_loss, tensors_of(self.network), 0
            else:
                waited += 1
                if waited >= self.request.patience:
                    break
        self.network.load_state_dict(best_weights, strict=False)
        return history


class Fitted(NamedTuple):
    """A network that was fitted.  `x`: all rows as it takes them; `counts`: of the train rows' classes."""

    fit: _Fit
    x: Any
    counts: np.ndarray
    scaler: tuple[np.ndarray, np.ndarray]
    history: list[dict[str, float]]


def scaled(features: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(n, width) float32 of the same, a few rows at a time: no second copy of them in float64 is held."""
    found = np.empty(features.shape, np.float32)
    for at in range(0, len(features), SCALED_ROWS):
        found[at : at + SCALED_ROWS] = (features[at : at + SCALED_ROWS] - mean) / scale
    return found


def fitted(request: TrainRequest, rows: Rows, split: Split, progress: Progress, cancelled: Cancel) -> Fitted:
    """Scaler, class weights and network from the train rows, stopped by the validation rows.  Raises DataError,
    Cancelled."""
    counts, class_weights = class_weights_of(rows.label[split.train])
    mean, scale = scaler_of(rows.features[split.train])
    fit = _Fit(request, class_weights, rows.schema.width)
    x = fit.torch.from_numpy(scaled(rows.features, mean, scale))
    y = fit.torch.from_numpy(rows.label[split.train].astype(np.int64))
    history = fit.run(x[split.train], y, x[split.validation], rows.label[split.validation], progress, cancelled)
    return Fitted(fit, x, counts, (mean, scale), history)


class _Result(NamedTuple):
    """What evaluation found; `golden` are rows of the test part and the answers to them."""

    temperature: float
    metrics: dict[str, calibration.Metrics]
    history: list[dict[str, float]]
    golden: np.ndarray
    golden_outputs: np.ndarray
    reference: Made


def _evaluate(
    fit: _Fit, x: Any, rows: Rows, split: Split, counts: np.ndarray, history: list[dict[str, float]]
) -> _Result:
    """Temperature from the validation rows alone, then every part's figures once."""
    parts = {"train": split.train, "validation": split.validation, "test": split.test}
    logits = {name: fit.logits(x[part]) for name, part in parts.items()}
    temperature = calibration.fit_temperature(logits["validation"], rows.label[split.validation], fit.class_weights)
    shares = {name: calibration.softmax(values, fit.class_weights, temperature) for name, values in logits.items()}
    metrics = {name: calibration.measure(shares[name], rows.label[part], counts) for name, part in parts.items()}
    golden = np.linspace(0, len(split.test) - 1, artifacts.GOLDEN_ROWS).astype(int)
    reference = make_reference(rows, split, shares["test"])
    return _Result(temperature, metrics, history, split.test[golden], shares["test"][golden], reference)


def _manifest(
    request: TrainRequest, rows: Rows, scaler: tuple[np.ndarray, np.ndarray], fit: _Fit, result: _Result, weights: bytes
) -> artifacts.Manifest:
    """All that is needed to use the weights and to name their origin."""
    mean, scale = scaler
    return artifacts.Manifest(
        format=artifacts.FORMAT,
        network="feedforward",
        hidden=list(request.hidden),
        dropout=request.dropout,
        classes=list(CLASSES),
        feature_names=list(rows.schema.names),
        schema_id=rows.schema.id,
        schema_hash=rows.schema.hash,
        scaler_mean=mean.tolist(),
        scaler_scale=scale.tolist(),
        class_weights=fit.class_weights.tolist(),
        temperature=result.temperature,
        symbol=request.symbol,
        step_ns=rows.step_ns,
        horizon_ns=round(request.horizon_s * NANOS),
        cost_ticks=request.cost_ticks,
        seed=request.seed,
        data=origin_of(request, request.tape.name == FEATURES, _every_s(request)),
        data_hash=rows_hash(rows),
        config_hash=hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(request, out=""))).hexdigest(),
        code_hash=artifacts.code_hash(),
        metrics=result.metrics,
        history=result.history,
        versions={"python": platform.python_version(), "torch": str(fit.torch.__version__), "numpy": np.__version__},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        golden_inputs=rows.features[result.golden].tolist(),
        golden_outputs=result.golden_outputs.tolist(),
        reference=result.reference[0],
        recipe_hash=artifacts.recipe_hash(msgspec.to_builtins(request)),
    )


def train(
    request: TrainRequest,
    progress: Progress = lambda done, total, words: None,
    cancelled: Cancel = lambda: False,
) -> TrainReport:
    """Read, fit, calibrate, evaluate once, save.  `progress(done, total, words)`; `cancelled()` is asked per batch.

    Raises DataError, SchemaError, ArtifactError, Cancelled, or the feed's FeedError; then nothing was written.
    """
    check_request(request)
    rows, split = read_parts(request, progress, cancelled)
    fit, x, counts, scaler, history = fitted(request, rows, split, progress, cancelled)
    result = _evaluate(fit, x, rows, split, counts, history)
    progress(int(0.99 * PROGRESS_TOTAL), PROGRESS_TOTAL, "saving")
    if cancelled():
        raise Cancelled
    weights = weights_of(fit.network)
    manifest = _manifest(request, rows, scaler, fit, result, weights)
    artifact = artifacts.save(Path(request.out), manifest, weights, result.reference[1])
    progress(PROGRESS_TOTAL, PROGRESS_TOTAL, "done")
    return TrainReport(
        out=request.out,
        artifact_id=artifact.id,
        symbol=request.symbol,
        rows=len(rows.ts_ns),
        purged=split.purged,
        embargoed=split.embargoed,
        events=rows.events,
        epochs=len(history),
        temperature=result.temperature,
        metrics=result.metrics,
        data_hash=manifest.data_hash,
        seed=request.seed,
    )
