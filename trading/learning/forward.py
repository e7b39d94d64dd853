"""The trained network on the hot path: scaler, layers and calibrated softmax fused into one jitted function.

Batch normalisation is folded into the layers, weights are float32 and stored (in, out) so that the inner loop runs over
outputs.  No torch, no BLAS, no thread: safe in a forked worker.  Called by artifacts (golden check) and scoring.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

WIDTH_MAX = 1024
CLASSES = ("down", "flat", "up")


class Network(NamedTuple):
    """A fused network.  `sizes` (layers + 1,) int64; `weights`: per layer (in, out) row by row, then (out,) biases."""

    sizes: np.ndarray
    weights: np.ndarray  # float32
    mean: np.ndarray  # float64, the scaler
    scale: np.ndarray
    shift: np.ndarray  # float64 (3,): minus ln of the class weights
    temperature: float


@njit(cache=True)
def logits(
    sizes: np.ndarray, weights: np.ndarray, mean: np.ndarray, scale: np.ndarray, features: np.ndarray, out: np.ndarray
) -> None:
    """Raw features (n,) float64 → logits of the three classes in `out` (3,) float64, computed in float32."""
    source = np.empty(WIDTH_MAX, np.float32)
    target = np.empty(WIDTH_MAX, np.float32)
    for i in range(sizes[0]):
        source[i] = np.float32((features[i] - mean[i]) / scale[i])
    at = 0
    layers = len(sizes) - 1
    for layer in range(layers):
        width_in, width_out = sizes[layer], sizes[layer + 1]
        biases = at + width_in * width_out
        for j in range(width_out):
            target[j] = weights[biases + j]
        for i in range(width_in):
            value = source[i]
            if value != 0.0:
                row = weights[at + i * width_out : at + (i + 1) * width_out]
                for j in range(width_out):
                    target[j] += row[j] * value
        if layer < layers - 1:
            for j in range(width_out):
                if target[j] < 0.0:  # not max(): a NaN must stay one
                    target[j] = 0.0
        at = biases + width_out
        source, target = target, source
    for j in range(3):
        out[j] = float(source[j])


@njit(cache=True)
def calibrate(out: np.ndarray, shift: np.ndarray, temperature: float) -> None:
    """Logits (3,) → probabilities in place: softmax of (logit - ln weight) / T (MES-ML-09)."""
    highest = -np.inf
    for j in range(3):
        out[j] = (out[j] + shift[j]) / temperature
        highest = max(highest, out[j])
    total = 0.0
    for j in range(3):
        out[j] = math.exp(out[j] - highest)
        total += out[j]
    for j in range(3):
        out[j] /= total


@njit(cache=True)
def _probabilities(
    sizes: np.ndarray,
    weights: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    shift: np.ndarray,
    temperature: float,
    features: np.ndarray,
    out: np.ndarray,
) -> tuple[float, float, float]:
    logits(sizes, weights, mean, scale, features, out)
    calibrate(out, shift, temperature)
    return out[0], out[1], out[2]


def probabilities(network: Network, features: np.ndarray, out: np.ndarray) -> tuple[float, float, float]:
    """Calibrated probabilities (down, flat, up) of one raw feature vector; also left in `out` (3,) float64."""
    net = network
    return _probabilities(net.sizes, net.weights, net.mean, net.scale, net.shift, net.temperature, features, out)


def fuse(layers: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """[(weight (out, in), bias (out,))] in float64 → (`sizes`, `weights`) of a Network."""
    sizes = np.array([layers[0][0].shape[1], *(weight.shape[0] for weight, _ in layers)], np.int64)
    parts = [part for weight, bias in layers for part in (np.ascontiguousarray(weight.T).ravel(), bias)]
    return sizes, np.concatenate(parts).astype(np.float32)
