"""Probabilities from logits, the temperature that makes them honest on validation, and the figures that are reported.

Pure numpy in float64; no torch.  Test rows never come near the fit (MES-SPLIT-04).  Called by training.
"""

import numpy as np

Metrics = dict[str, float | int | list[int] | None]


def softmax(logits: np.ndarray, class_weights: np.ndarray, temperature: float) -> np.ndarray:
    """(n, 3) logits → (n, 3) probabilities: softmax of (logits - ln(class weight)) / T (MES-ML-09)."""
    z = (logits.astype(np.float64) - np.log(class_weights)) / temperature
    z -= z.max(axis=1, keepdims=True)
    e = np.exp(z)
    shares: np.ndarray = e / e.sum(axis=1, keepdims=True)
    return shares


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean of -ln p(label), unweighted; p is bounded below at 1e-12."""
    p = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(p, 1e-12)).mean())


def fit_temperature(logits: np.ndarray, labels: np.ndarray, class_weights: np.ndarray) -> float:
    """T > 0 with the lowest log loss on these (validation) rows: golden section over ln T in 0.05 .. 20."""
    low, high = np.log(0.05), np.log(20.0)
    ratio = (np.sqrt(5.0) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)

    def loss(log_t: float) -> float:
        return log_loss(softmax(logits, class_weights, float(np.exp(log_t))), labels)

    loss_left, loss_right = loss(left), loss(right)
    for _ in range(60):
        if loss_left <= loss_right:
            high, right, loss_right = right, left, loss_left
            left = high - ratio * (high - low)
            loss_left = loss(left)
        else:
            low, left, loss_left = left, right, loss_right
            right = low + ratio * (high - low)
            loss_right = loss(right)
    return float(np.exp((low + high) / 2))


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error of the largest probability over equal bins of confidence."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    total = 0.0
    for i in range(bins):
        here = place == i
        if here.any():
            total += abs(float(confidence[here].mean()) - float(right[here].mean())) * int(here.sum())
    return total / len(labels)


def measure(probabilities: np.ndarray, labels: np.ndarray, train_counts: np.ndarray) -> Metrics:
    """Figures of one part beside two baselines that know the train rows' class counts alone.

    `signals`: rows whose most probable class is not flat; `signal_precision`: share of them whose label agrees.
    """
    n = len(labels)
    predicted = probabilities.argmax(axis=1)
    majority = int(train_counts.argmax())
    base = np.tile(train_counts / train_counts.sum(), (n, 1))
    signals = predicted != 1
    return {
        "rows": n,
        "counts": [int(c) for c in np.bincount(labels, minlength=3)],
        "accuracy": float((predicted == labels).mean()),
        "majority_accuracy": float((labels == majority).mean()),
        "log_loss": log_loss(probabilities, labels),
        "base_rate_log_loss": log_loss(base, labels),
        "calibration_error": calibration_error(probabilities, labels),
        "signals": int(signals.sum()),
        "signal_precision": float((predicted == labels)[signals].mean()) if signals.any() else None,
    }
