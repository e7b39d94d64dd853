"""What the ensemble's members read of a book: the model vector, the last ten of them, three windows (MOEX-FEAT-06).

Called right after a VALID row was made.  Only reads the state; float32, which models receive.  Scaling (R) is the
model's own: its median and IQR are not known here.
"""

import math
from typing import Any

import numpy as np
from numba import njit

from marketdata.core.bookfeatures.records import (
    CKS_5,
    IMBALANCE,
    IMBALANCE_1,
    LOG,
    NS,
    RECORDS,
    SPREAD_REL,
    VECTORS,
)
from marketdata.core.bookfeatures.schema import MODEL_PLACES, TRADES, VOLATILITY_PLACES
from marketdata.core.compiled import inlined
from marketdata.core.records import BUY, SELL

Record = Any  # one record of BOOK_STATE: the type checker cannot know its fields
SEQUENCE = 10  # books
MODEL_COUNT = len(MODEL_PLACES)
WINDOWS_S = (1, 10, 60)
SLOTS = 10
CHANNELS = ("mid_bps", "spread_rel", "imbalance", "imbalance_1", "ofi_cks_5", "trade_imbalance", "lots_log", "valid")
CHANNEL_COUNT = len(CHANNELS)
WINDOW_COUNT = len(WINDOWS_S)
LAST = RECORDS - 1
SECOND_NS = 1_000_000_000
_MODEL = np.array(MODEL_PLACES)
_VOLATILITY = np.array(VOLATILITY_PLACES)


def model_vector(features: np.ndarray) -> np.ndarray:
    """(..., 88) → (..., 85) float32: without what is money."""
    return features[..., _MODEL].astype(np.float32)


def volatility_vector(features: np.ndarray) -> np.ndarray:
    """(..., 88) → (..., 6) float32: input of the volatility member."""
    return features[..., _VOLATILITY].astype(np.float32)


def new_sequence() -> tuple[np.ndarray, np.ndarray]:
    """Room for `write_sequence`: (10, 85) and (10,) float32."""
    return np.zeros((SEQUENCE, MODEL_COUNT), np.float32), np.zeros(SEQUENCE, np.float32)


def new_windows() -> np.ndarray:
    """Room for `write_windows`: (3, 10, 8) float32."""
    return np.zeros((WINDOW_COUNT, SLOTS, CHANNEL_COUNT), np.float32)


@njit(cache=True)
def write_sequence(states: np.ndarray, which: int, out: np.ndarray, mask: np.ndarray) -> int:
    """Model vectors of the last ten books, oldest first, into `out` and `mask`; returns how many there are.

    Missing ones are zeros with mask 0, in front.
    """
    state = states[which]
    count = min(state.vectors, SEQUENCE)
    for k in range(SEQUENCE):
        missing = k < SEQUENCE - count
        mask[k] = 0.0 if missing else 1.0
        place = (state.vectors - SEQUENCE + k) & (VECTORS - 1)
        for i in range(MODEL_COUNT):
            out[k, i] = 0.0 if missing else state.vector_ring[place, _MODEL[i]]
    return count


@inlined
def _window(state: Record, width_ns: int, out: np.ndarray, w: int) -> None:
    """Ten slots (lo, hi] of `width_ns` that end at the newest book, from the newest back."""
    mid_log = state.ring_ratio[(state.ring_next - 1) & LAST, LOG]
    record = state.ring_next - 1
    trade, first_trade = state.trade_next - 1, max(state.trade_next - TRADES, state.trade_first)
    while trade >= first_trade and state.trade_ns[trade % TRADES] > state.ts_ns:
        trade -= 1  # came after the book
    for back in range(SLOTS):
        slot = SLOTS - 1 - back
        high_ns = state.ts_ns - back * width_ns
        while record >= state.ring_first and state.ring_whole[record & LAST, NS] > high_ns:
            record -= 1
        lots, sided, signed = 0, 0, 0
        while trade >= first_trade and state.trade_ns[trade % TRADES] > high_ns - width_ns:
            here = trade % TRADES
            size, side = int(state.trade_lots[here]), int(state.trade_side[here])
            lots += size
            signed += side * size
            if side == BUY or side == SELL:
                sided += size
            trade -= 1
        for channel in range(CHANNEL_COUNT):
            out[w, slot, channel] = 0.0
        if record >= state.ring_first:
            at = record & LAST
            out[w, slot, 0] = 1e4 * (state.ring_ratio[at, LOG] - mid_log)
            out[w, slot, 1] = state.ring_ratio[at, SPREAD_REL]
            out[w, slot, 2] = state.ring_ratio[at, IMBALANCE]
            out[w, slot, 3] = state.ring_ratio[at, IMBALANCE_1]
            out[w, slot, 4] = state.ring_ratio[at, CKS_5]
            out[w, slot, 5] = signed / sided if sided > 0 else 0.0
            out[w, slot, 6] = math.log1p(lots)
            out[w, slot, 7] = 1.0


@njit(cache=True)
def write_windows(states: np.ndarray, which: int, out: np.ndarray) -> bool:
    """Windows of 1, 10 and 60 s that end at the newest book, oldest slot first, into `out` (3, 10, 8).

    False, and zeros, without a book that has a mid.
    """
    state = states[which]
    for w in range(WINDOW_COUNT):
        if state.ring_next == state.ring_first:
            for slot in range(SLOTS):
                for channel in range(CHANNEL_COUNT):
                    out[w, slot, channel] = 0.0
        else:
            _window(state, WINDOWS_S[w] * SECOND_NS // SLOTS, out, w)
    return state.ring_next > state.ring_first
