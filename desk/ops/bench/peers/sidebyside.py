"""The desk and its peers on the common work, one after the other in one run: trade lists first, then user CPU time.

The desk runs its own kernel with the profile `mes-topstep` and every rule active; a peer runs in the environment that
`make bench-peers` made for it.  Where one is not installed its stored figure stands, and says so.  Called by
`manage.py bench`.
"""

import json
import os
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from desk.jitcache import BASE
from desk.ops.bench import backtest
from desk.ops.bench.peers.agreement import agreement
from desk.ops.bench.peers.program import BUSY, FULL
from desk.ops.bench.peers.reference import reference_trips
from desk.ops.bench.peers.work import Work, write
from desk.ops.bench.table import Row, failed
from marketdata.calendars import windows
from marketdata.core.sessions import NORMAL, REDUCED
from marketdata.core.units import NANOS
from trading.core.history.records import Columns
from trading.core.protect import BY_SIGNAL, BY_STOP, BY_TARGET
from trading.run.backtest.plan import VENUE, Calendar, Plan

ENVIRONMENTS = BASE / "var" / "peers"
PEER_S = 1_200
PROGRAMS = {
    "nautilus": "desk.ops.bench.peers.nautilus_peer",
    "vectorbt": "desk.ops.bench.peers.vectorbt_peer",
    "backtesting": "desk.ops.bench.peers.backtesting_peer",
    "hftbacktest": "desk.ops.bench.peers.hftbacktest_peer",
}
DESK_ROUNDS = 3


class Peer(NamedTuple):
    """`goal`: how many times faster the desk is to be.  `stored`: ns of user time a bar, full and busy."""

    name: str
    package: str
    goal: float
    stored: tuple[float, float]
    said: str


PEERS = (
    Peer(
        "nautilus", "NautilusTrader 1.221", 500, (8_468, 15_640), "enters at the deciding bar's close, high before low"
    ),
    Peer("vectorbt", "vectorbt, flexible order function", 25, (551, 563), "says all of it: the user writes the engine"),
    Peer(
        "backtesting", "backtesting.py", 150, (2_990, 6_190), "no slippage in ticks, bracket from the decision's close"
    ),
    Peer("hftbacktest", "hftbacktest", 30, (649, 740), "no bars and no stop order: looks four times a second"),
)
NEVER_RUN = Peer("nautilus2", "NautilusTrader 2.0rc6", 100, (1_765, 2_325), "needs Python 3.12")


class Answer(NamedTuple):
    """What a peer's program said."""

    ns: float  # of user CPU a bar
    version: str
    trips: np.ndarray


class PeerFailed(RuntimeError):
    """A peer that is installed did not do the work; the text is what it said."""


def work_of(bars: Columns, plan: Plan) -> Work:
    """The common work as peers read it: decisions only where the schedule allows an entry, flat where it demands it."""
    calendar = Calendar.between(int(bars.start_ns[0]), int(bars.start_ns[-1]))
    days = int((calendar.close_ns[-1] - calendar.open_ns[0]) // (86_400 * NANOS)) + 1
    rows = np.array(list(windows(plan.schedule, VENUE, int(calendar.open_ns[0]), days)), np.int64)
    at = np.searchsorted(rows[:, 1], bars.start_ns, side="right") - 1
    open_now = np.isin(rows[at, 0], (NORMAL, REDUCED))
    then = np.searchsorted(rows[:, 1], bars.start_ns + NANOS, side="right") - 1
    open_then = np.isin(rows[then, 0], (NORMAL, REDUCED))
    terms = np.array([plan.instrument.tick_value_micros, plan.instrument.fee_micros], np.int64)
    return Work(
        bars.start_ns,
        bars.ticks,
        bars.volume,
        np.where(open_then, bars.side, 0).astype(np.int8),
        (~open_now).astype(np.int8),
        rows[at, 3],
        terms,
    )


def desk_trips(sample: backtest.Sample, start_ns: np.ndarray) -> np.ndarray:
    """(n, 5) int64 rows of `Trip`: a fill of the bracket is told at its bar's end."""
    rows = sample.result.trades
    inside = np.isin(rows["reason"], (BY_STOP, BY_TARGET))
    left = np.searchsorted(start_ns, rows["exit_ns"] - inside, side="right") - 1
    columns = (rows["entry_ns"], start_ns[left], rows["side"], rows["entry_tick"], rows["exit_tick"])
    return np.stack(columns, axis=1)


def environment(peer: Peer) -> Path | None:
    """Its interpreter; None: not installed."""
    python = ENVIRONMENTS / peer.name / "bin" / "python"
    return python if python.exists() and (ENVIRONMENTS / peer.name / "stamp").exists() else None


def said_by(package: str, words: list[str]) -> dict[str, Any]:
    """What a peer's program prints last, one line of JSON.  Raises PeerFailed."""
    try:
        # other people's code: it sees no secret of the desk and none of its caches
        plain = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        done = subprocess.run(words, cwd=BASE, env=plain, capture_output=True, text=True, timeout=PEER_S, check=False)
    except subprocess.TimeoutExpired:
        raise PeerFailed(f"{package} was not done after {PEER_S} s") from None
    if done.returncode != 0:
        raise PeerFailed(f"{package}: {done.stderr[-2_000:]}")
    try:
        return dict(json.loads(done.stdout.splitlines()[-1]))
    except (IndexError, ValueError):
        raise PeerFailed(f"{package} ended in order and said no figures") from None


def ask(peer: Peer, python: Path, source: Path, variant: str, bars: int) -> Answer:
    """Have the peer do it.  Raises PeerFailed."""
    target = source.with_name(f"{peer.name}-{variant}.npy")
    said = said_by(peer.package, [str(python), "-m", PROGRAMS[peer.name], str(source), variant, str(target)])
    try:
        return Answer(said["user_s"] / bars * 1e9, said["version"], np.load(target))
    except (KeyError, OSError, ValueError) as error:
        raise PeerFailed(f"{peer.package}: {type(error).__name__}: {error}") from None


def measure(count: int = backtest.BARS) -> list[Row]:
    """Rows of both variants: the desk against the plain rules, then each peer against the desk."""
    bars = backtest.made_bars(count)
    plans = {name: replace(plan, limit_fill="touch") for name, plan in backtest.plans().items()}
    work = work_of(bars, plans[FULL])
    floor = backtest.memory_floor(bars)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "work.npz"
        write(source, work)
        for variant in (FULL, BUSY):
            plan = plans[variant]
            backtest.once(plan, bars)  # compiled, memory touched
            first = backtest.once(plan, bars)
            trips = desk_trips(first, work.start_ns)
            rows.append(_against_rules(variant, plan, first, trips, work, floor))
            for peer in PEERS:
                rows.append(_against_peer(peer, variant, plan, bars, source, trips))
            spent, trades = backtest.years(plan, backtest.YEARS)
            note = f"CPU time of one core, {trades} trades"
            rows.append(
                Row(f"common work, {variant}, {backtest.YEARS:,} bars", spent, "s", backtest.YEARS_S, note=note)
            )
            stored = NEVER_RUN.stored[variant == BUSY]
            said = f"stored figure, not run: {NEVER_RUN.said}"
            rows.append(_ratio(NEVER_RUN, variant, stored / first.ns, said, ran=False))
    return rows


def _against_rules(
    variant: str, plan: Plan, sample: backtest.Sample, trips: np.ndarray, work: Work, floor: float
) -> Row:
    found = agreement(reference_trips(work, variant == FULL), trips, work.start_ns)
    by_signal = int((sample.result.trades["reason"] == BY_SIGNAL).sum())
    note = f"the plain rules' {found.ours} trades, the desk's: {found.text}; {by_signal} ended by a signal;"
    note += f" {plan.profile} {plan.config_hash[:12]}, every rule active; {len(work.start_ns):,} bars"
    name = f"common work, {variant}, the desk"
    return Row(name, sample.ns, "ns/bar", backtest.GOAL_NS, "memory floor", sample.ns / floor, note)


def _against_peer(peer: Peer, variant: str, plan: Plan, bars: Columns, source: Path, trips: np.ndarray) -> Row:
    """One peer, and the desk around it: what the machine does meanwhile meets both.  One that fails gets a row that
    says why."""
    python = environment(peer)
    spent = [backtest.once(plan, bars).ns for _ in range(DESK_ROUNDS)]
    if python is None:
        stored = peer.stored[variant == BUSY]
        return _ratio(peer, variant, stored / median(spent), "stored, not run: make bench-peers installs it", ran=False)
    try:
        answer = ask(peer, python, source, variant, len(bars.start_ns))
    except PeerFailed as error:
        return failed(_name(peer, variant), "times", str(error), peer.goal, least=True)
    spent += [backtest.once(plan, bars).ns for _ in range(DESK_ROUNDS)]
    found = agreement(trips, answer.trips, bars.start_ns)
    note = f"{answer.ns:,.0f} ns a bar over {len(bars.start_ns):,} bars, version {answer.version}"
    note += f"; {found.text}; {peer.said}"
    return _ratio(peer, variant, answer.ns / median(spent), note)


def _ratio(peer: Peer, variant: str, value: float, note: str, ran: bool = True) -> Row:
    goal = peer.goal if ran else None  # another machine's figure meets nothing
    return Row(_name(peer, variant), value, "times", goal, note=note, least=True)


def _name(peer: Peer, variant: str) -> str:
    return f"common work, {variant}, {peer.package} over the desk"
