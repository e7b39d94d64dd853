"""What the desk's other loops and its operator's lists say about themselves: networks, errors, news, the connection,
the volatility index, drift, calibration, transfers.

Each notice sets or clears the holds that the rulebook has for it; a hold that the rulebook lacks is never raised, so
there is no venue in here.  Called by the kernel.
"""

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import ACCOUNT_SCOPE, NO_TIME
from marketdata.core.units import NANOS
from risk.core.holds import BIT, HOLD_CAPACITY, MODEL_RELOAD_MASK
from risk.core.records import MOEX
from trading.core.effects import blank, clear_hold, raise_hold, set_condition
from trading.core.records import (
    CAUSE_CALIBRATE,
    CONDITION,
    DRIFT,
    DRIFT_CRITICAL,
    DRIFT_WARN,
    ERROR,
    INDEX,
    JOB,
    MODEL,
    MODEL_BLOCKED,
    MODEL_READY,
    NEWS,
    PROBE,
    PROBE_LOST,
    ROUTE_FAILOVER,
    TRANSFER,
    Params,
    State,
)
from trading.core.watch.clock import watch_clock, watch_index, watch_probes
from trading.core.watch.told import on_condition

_MODEL_BLOCKED = BIT["MODEL_BLOCKED"]
_ERROR_STORM = BIT["ERROR_STORM"]
_RISK_ERROR = BIT["RISK_ERROR"]
_RVI_HIGH = BIT["RVI_HIGH"]
_NET_SLOW, _NET_FAILOVER, _INTEGRITY = BIT["NET_SLOW"], BIT["NET_FAILOVER"], BIT["INTEGRITY"]
_DRIFT_WARN, _DRIFT_CRITICAL = BIT["DRIFT_WARN"], BIT["DRIFT_CRITICAL"]
_CALIBRATION = BIT["CALIBRATION"]
_NEWS = BIT["NEWS"]
STORM_NS = 60 * NANOS
PROBES_BAD, PROBES_GOOD = 3, 30
PROBES_BACK, BACK_NS = 3, 80_000_000  # of a connection that was lost (MOEX-DR-03)
RISK_LOOP, EXECUTION_LOOP = 3, 4  # EVENT.code of ERROR: which loop failed, by its place among the loops; 0: not said


@inner
def on_notice(state: State, params: Params, e: np.record, out: np.ndarray, n: int) -> int:
    """One notice.  Returns the output count."""
    kind = e.kind
    if kind == MODEL:
        return _model(state, e, out, n)
    if kind == ERROR:
        return _errors(state, params, e, out, n)
    if kind == NEWS:
        return _news(state, params, e, out, n)
    if kind == PROBE:
        return _probe(state, params, e, out, n)
    if kind == INDEX:
        return _index(state, params, e, out, n)
    if kind == DRIFT:
        if e.code == DRIFT_WARN:
            n = raise_hold(state, out, n, _DRIFT_WARN, NO_TIME, e.value, 0)
        if e.code == DRIFT_CRITICAL:
            n = raise_hold(state, out, n, _DRIFT_CRITICAL, NO_TIME, e.value, 0)
    elif kind == JOB:
        n = set_condition(state, out, n, _CALIBRATION, e.code == 1, e.value, 0)
    elif kind == CONDITION:
        n = on_condition(state, e, out, n)
    elif kind == TRANSFER:
        _transfer(state, e)
    return n


@inner
def _model(state: State, e: np.record, out: np.ndarray, n: int) -> int:
    """A loaded, verified set of networks clears every MODEL_RELOAD hold; a blocked one raises its own.

    Of shares a set that was loaded for no person and no job ends MODEL_BLOCKED alone, which says that there was none
    (MOEX-ML-10).
    """
    a = state.account[0]
    if e.code == MODEL_BLOCKED:
        return raise_hold(state, out, n, _MODEL_BLOCKED, NO_TIME, e.value, 0)
    if e.code == MODEL_READY:
        ending = a.holds & MODEL_RELOAD_MASK[a.rules]
        if a.rules == MOEX and e.ref < CAUSE_CALIBRATE:
            ending &= 1 << _MODEL_BLOCKED
        for bit in range(HOLD_CAPACITY):
            if ending >> bit & 1:
                n = clear_hold(state, out, n, bit)
    return n


@inner
def _errors(state: State, params: Params, e: np.record, out: np.ndarray, n: int) -> int:
    """So many errors within 60 s stop the account (MES-LIVE-21, T-10).

    Of shares each one on the way from decision to venue halves and simplifies entries until a person clears it
    (MOEX-RISK-05, RISK_ERROR).
    """
    a = state.account[0]
    kept = a.errors_ns.shape[0]
    for _ in range(min(max(1, e.value), kept)):
        a.errors_ns[a.errors % kept] = a.now_ns
        a.errors += 1
    if e.code == 0 or e.code == RISK_LOOP or e.code == EXECUTION_LOOP:
        n = raise_hold(state, out, n, _RISK_ERROR, NO_TIME, e.value, 1)
    limit = params.limits[0].errors_60s_max
    if a.version == 0 or limit <= 0 or limit > kept or a.errors < limit:
        return n
    first = a.errors_ns[(a.errors - limit) % kept]
    if a.now_ns - first <= STORM_NS:
        n = raise_hold(state, out, n, _ERROR_STORM, NO_TIME, limit, limit)
    return n


@inner
def _news(state: State, params: Params, e: np.record, out: np.ndarray, n: int) -> int:
    """A window of the event list.  One that is over is dropped, a repeat changes nothing.

    One that finds no room is never forgotten: entries wait from now on until it ends.
    """
    a = state.account[0]
    if e.until_ns <= e.value or e.until_ns <= a.now_ns:
        return n
    kept = 0
    for i in range(a.news):
        if a.news_end_ns[i] > a.now_ns:
            a.news_start_ns[kept] = a.news_start_ns[i]
            a.news_end_ns[kept] = a.news_end_ns[i]
            kept += 1
    a.news = kept
    for i in range(kept):
        if a.news_start_ns[i] == e.value and a.news_end_ns[i] == e.until_ns:
            return n
    if kept < a.news_start_ns.shape[0]:
        a.news_start_ns[kept] = e.value
        a.news_end_ns[kept] = e.until_ns
        a.news += 1
    else:
        n = raise_hold(state, out, n, _NEWS, e.until_ns, kept, kept)
    return watch_clock(state, params, out, n)


@inner
def _probe(state: State, params: Params, e: np.record, out: np.ndarray, n: int) -> int:
    """NET_SLOW and NET_FAILOVER after three samples in a row; NET_SLOW ends after thirty good ones (MOEX-RISK-05).

    A connection that was lost is back after three samples in a row of 80 ms; then broker and desk are compared anew,
    and the hold ends once they agree and the books have passed their gate (MOEX-DR-03).
    """
    a = state.account[0]
    limits = params.limits[0]
    if a.version == 0:
        return n
    if limits.probe_slow_ns <= 0:
        a.probe_slow, a.probe_lost, a.probe_good, a.probe_back = 0, 0, 0, 0
        return watch_probes(state, params, out, n)
    lost = e.code == PROBE_LOST or e.value < 0
    a.probe_slow = a.probe_slow + 1 if lost or e.value > limits.probe_slow_ns else 0
    a.probe_lost = a.probe_lost + 1 if lost or e.value > limits.probe_lost_ns else 0
    a.probe_good = 0 if lost or e.value > limits.probe_good_ns else a.probe_good + 1
    a.probe_back = 0 if lost or e.value > min(BACK_NS, limits.probe_lost_ns) else a.probe_back + 1
    if a.probe_slow >= PROBES_BAD:
        n = raise_hold(state, out, n, _NET_SLOW, NO_TIME, e.value, limits.probe_slow_ns)
    if lost or a.probe_lost >= PROBES_BAD:
        begins = a.holds >> _NET_FAILOVER & 1 == 0
        n = raise_hold(state, out, n, _NET_FAILOVER, NO_TIME, e.value, limits.probe_lost_ns)
        if begins and a.holds >> _NET_FAILOVER & 1:
            n = _ask_route(state, out, n)
    if a.probe_good >= PROBES_GOOD:
        n = clear_hold(state, out, n, _NET_SLOW)
    if a.holds >> _NET_FAILOVER & 1 and a.probe_back == PROBES_BACK:
        a.reconciled = 0
    if a.probe_back >= PROBES_BACK and a.reconciled == 1 and a.holds >> _INTEGRITY & 1 == 0:
        n = clear_hold(state, out, n, _NET_FAILOVER)
    return n


@inner
def _ask_route(state: State, out: np.ndarray, n: int) -> int:
    """One request for another route, for this episode alone: it ends when the hold clears (MOEX-RISK-07)."""
    blank(out, n, ROUTE_FAILOVER, ACCOUNT_SCOPE, state.account[0].now_ns)
    out[n].ref = state.holds[_NET_FAILOVER].raised
    return n + 1


@inner
def _index(state: State, params: Params, e: np.record, out: np.ndarray, n: int) -> int:
    """A value of the volatility index; above its limit everything closes (MOEX-RISK-05)."""
    a = state.account[0]
    limits = params.limits[0]
    if a.version == 0 or limits.rvi_max <= 0 or e.value <= 0:
        return n  # no value at all is never a low one
    a.index_value = e.value
    a.index_ts_ns = a.now_ns
    if e.value > limits.rvi_max:
        n = raise_hold(state, out, n, _RVI_HIGH, NO_TIME, e.value, limits.rvi_max)
    return watch_index(state, params, out, n)


@inner
def _transfer(state: State, e: np.record) -> None:
    """Money in or out moves balance, reference and peaks alike and is no part of a day's result (MES-RISK-01)."""
    a = state.account[0]
    a.balance_micros += e.value
    a.equity_micros += e.value
    a.reference_micros += e.value
    a.peak_micros += e.value
    a.day_peak_micros += e.value
    a.day_base_micros += e.value
