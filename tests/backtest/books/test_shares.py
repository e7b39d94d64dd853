"""A tape of books under the shares' own limits: children, ladder and stops by formula are the paper account's, the
kernel's alone and the interpreter's, bit for bit (MOEX-ACC-405, MOEX-OPS-04)."""

import random
from functools import cache
from pathlib import Path

import numpy as np

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.records import FEED
from risk.core.holds import BIT
from risk.core.records import SPEC_FIELDS
from tests.backtest.books.kit import MS, OPEN_NS, Made, Maker, S, fixed
from tests.backtest.books.test_parity import digest
from tests.backtest.compare import PROFILES
from tests.backtest.test_parity import same_by_kernel
from tests.plain import answer_of
from trading.brokers.paper_account import Account
from trading.brokers.wire import InstrumentTerms, Terms
from trading.config.schema import load_file, parse_profile
from trading.core.orders import CANCELLED as CANCELLED_STATUS
from trading.core.records import (
    ACK,
    CANCELLED,
    CANCELLED_UNSENT,
    EXIT,
    FILL,
    FIRST_OUTPUT_KIND,
    HOLD_CLEARED,
    HOLD_RAISED,
    ORDER_STATE,
    PASSIVE,
    RECON,
    RECON_END,
    SUBMIT,
    TRADE_CLOSED,
    UNKNOWN_OUTCOME,
)
from trading.core.venue import engine
from trading.run.backtest.plan import Plan
from trading.run.replica import Kernel
from trading.run.tapes.engine import TapeRun, tape_calendar, tape_plan

SHARE = INSTRUMENTS["SBER"]
LATENCY_NS = 100 * MS + 7  # no arrival falls on an event
TAPE = 60_000
PROGRAM = """
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "desk.settings")
from tests.backtest.books.test_parity import digest
from tests.backtest.books.test_shares import run_of, walk
run = run_of(walk(3, 150))
print(digest(run, run.end()))
"""


def plan(**limits: int) -> Plan:
    """`moex-tinvest` as it is shipped, but for the index, which a tape lacks, and the pauses after trades."""
    values = load_file(PROFILES / "moex-tinvest.yaml").to_values()
    values["risk"] |= {"rvi_max": 0, "cooldown_entry": "0 s", "cooldown_exit": "0 s", "streak_soft": 0}
    values["risk"] |= {"hold_max": "40 s"}
    return tape_plan(parse_profile(values), SHARE, equity_sample="bar")


@cache
def walk(seed: int, steps: int = 500) -> Made:
    """Books of a share at 300 RUB with trades at the touch, a score now and then, and a fall through every stop."""
    rng = random.Random(seed)
    maker, t, mid = Maker(), 0.0, 30_000
    for step in range(steps):
        t += rng.choice((0.05, 0.2, 0.2, 0.35, 0.9, 2.6))
        mid += rng.choice((-2, -1, 0, 0, 1, 2)) - (250 if step % 90 == 89 else 0)
        bids = [(mid - 1 - k, rng.randrange(80, 200)) for k in range(8)]
        asks = [(mid + 1 + k, rng.randrange(80, 200)) for k in range(8)]
        maker.book(t, bids, asks)
        side = rng.choice((-1, 1))
        t += 0.0013
        maker.trade(t, mid + side, rng.randrange(1, 300), side)
        if rng.random() < 0.5:
            t += 0.0007
            maker.score(t, rng.choice((1, 1, 1, -1)), rng.choice((450_000, 1_000_000)))
    return maker.made()


def run_of(tape: Made, cuts: int = 0) -> TapeRun:
    """The tape through the loop, not ended; in pieces of `cuts` events."""
    run = TapeRun(plan(), tape_calendar(SHARE, OPEN_NS), fixed(LATENCY_NS), OPEN_NS, tape=TAPE)
    size = cuts or len(tape.events)
    for start in range(0, len(tape.events), size):
        part = tape.part(start, start + size)
        run.feed(part.events, part.depths, part.depth_of)
    return run


class Paper:
    """The paper account beside a kernel, without sockets: what the tape's inputs make of them."""

    def __init__(self, path: Path, run: TapeRun, tape: Made) -> None:
        values = {name: int(getattr(SHARE, name)) for name in SPEC_FIELDS if name != "tradable"} | {"tradable": 1}
        terms = Terms("book", "RUB", [InstrumentTerms("SBER", values)], latency_ns=LATENCY_NS, slip_ticks=1)
        self.path, self.account, self.tape = path, Account.create(path, terms), tape
        self.kernel, self.rows = Kernel(), list[np.ndarray]()
        self.kernel.apply(run.setup[run.setup["kind"] < FIRST_OUTPUT_KIND])
        self.depth_of = tape.depth_of[tape.events["kind"] < FEED]  # of the market's events alone
        self.ref = self.told = 0

    def hear(self) -> None:
        """The kernel hears every answer, and what it then asks is answered, too."""
        while self.account.last_ref > self.ref:
            answers = np.frombuffer(self.account.since(self.ref), self.tape.events.dtype).copy()
            self.ref = int(answers["ref"][0])
            self.apply(answers[:1])

    def apply(self, row: np.ndarray) -> None:
        frames = self.kernel.apply(row)
        self.rows.append(frames.copy())
        for k in range(1, len(frames)):
            if SUBMIT <= frames["kind"][k] < SUBMIT + 3:  # SUBMIT, CANCEL, MODIFY
                self.account.request(frames[k : k + 1].tobytes(), int(frames["kind"][k]))

    def pass_time(self, until_ns: int) -> None:
        """What arrives or is sent before this moment, each at its own."""
        while 0 < (due := int(engine.next_due_ns(self.account.venue))) < until_ns:
            self.account.advance(due)
            self.hear()

    def take(self, row: np.ndarray) -> None:
        """One input that the run was given or made by itself."""
        self.pass_time(int(row["ts_ns"][0]))
        if row["kind"][0] < FEED:
            depth = self.depth_of[self.told]
            self.told += 1
            levels = self.tape.depths[depth : depth + 1].tobytes() if depth >= 0 else b""
            index = np.array([0 if depth >= 0 else -1], np.int32)
            self.account.market(row.tobytes(), levels, index.tobytes(), -1)
        self.apply(row)
        self.hear()

    def restart(self) -> None:
        """The venue's process ends and reads its file again."""
        self.account.commit()
        self.account.store.close()
        self.account = Account.open(self.path)


def test_the_paper_account_makes_the_same_decisions_and_orders_moex_acc_405(tmp_path: Path) -> None:
    tape = walk(1)
    run = run_of(tape)
    record = run.tape().copy()
    paper = Paper(tmp_path / "1.account", run, tape)
    inputs = record[
        (record["kind"] < FIRST_OUTPUT_KIND) & ((record["kind"] < ACK) | (record["kind"] > UNKNOWN_OUTCOME))
    ]
    kept = 0
    for k in range(len(inputs)):
        row = inputs[k : k + 1].copy()
        row["seq"] = 0
        paper.take(row)
        if int(paper.account.venue.account[0].held_count) > kept:  # with a child that waits in the file
            paper.restart()
        kept = int(paper.account.venue.account[0].held_count)
    again = np.concatenate(paper.rows)
    assert again.tobytes() == record.tobytes()
    sent = record[record["kind"] == SUBMIT]
    assert (sent["order_type"] == PASSIVE).sum() > 5 and (sent["role"] == EXIT).sum() > 3, "routed, and left again"
    passive = set(sent["order_number"][sent["order_type"] == PASSIVE].tolist())
    fills = record[record["kind"] == FILL]
    assert passive & set(fills["order_number"].tolist()), "passive children filled"
    dropped = record[(record["kind"] == CANCELLED) & (record["code"] == CANCELLED_UNSENT)]
    assert len(dropped) > 0, "and some were never sent"
    assert (record["kind"] == TRADE_CLOSED).sum() > 5


def test_kernel_cuts_and_interpreter_give_the_same_bytes_moex_acc_405() -> None:
    run = run_of(walk(2))
    result = run.end()
    same_by_kernel(run)
    cut = run_of(walk(2), cuts=7)
    assert digest(cut, cut.end()) == digest(run, result)
    assert len(result.trades) > 5 and run.position == 0 and int(run.venue.markets[0].qty) == 0
    short = run_of(walk(3, 150))
    assert answer_of(PROGRAM) == digest(short, short.end())


def test_a_lone_kept_child_is_released_in_silence_moex_route_04() -> None:
    """The first child finds nothing; ten quiet seconds later the passive one is sent or dropped, not forgotten."""
    maker = Maker()
    asks = [(30_001 + k, 100) for k in range(8)]
    maker.book(0.0, [(29_999 - k, 100) for k in range(8)], asks).trade(0.2, 30_001, 5, 1)
    maker.score(0.3, 1)
    maker.book(0.31, [(29_999 - k, 100) for k in range(8)], [(30_100 + k, 100) for k in range(8)])
    maker.book(14.0, [(29_999 - k, 100) for k in range(8)], asks)
    run = run_of(maker.made())
    record = run.tape()
    passive = int(record["order_number"][(record["kind"] == SUBMIT) & (record["order_type"] == PASSIVE)][0])
    own = record[(record["order_number"] == passive) & (record["kind"] == CANCELLED)]
    assert own["code"].tolist() == [CANCELLED_UNSENT], "its book was older than a second"
    assert int(own["ts_ns"][0]) - OPEN_NS < 6 * S, "at its time, not with the next event"


def test_a_child_that_travels_survives_two_reconciliations_moex_route_04(tmp_path: Path) -> None:
    """The kernel has it as working once the first named it; the second comes while it is on its way to the market.
    So do the tape's own, and the paper account's snapshot; its report says nothing yet."""
    maker = Maker()
    bids, asks = [(29_999 - k, 100) for k in range(8)], [(30_001 + k, 100) for k in range(8)]
    maker.book(0.0, bids, asks).trade(0.2, 30_001, 500, 1).book(0.25, bids, asks).score(0.3, 1)
    for k in range(1, 120):
        maker.recon(0.3 + k * 0.0501).book(0.3 + k * 0.0501, bids, asks)
    tape = maker.made()
    run = run_of(tape)
    record = run.tape().copy()
    passive = int(record["order_number"][(record["kind"] == SUBMIT) & (record["order_type"] == PASSIVE)][0])
    own = record[record["order_number"] == passive]
    (sent,) = own[own["kind"] == ACK]
    named = own[(own["kind"] == RECON) & (own["ts_ns"] > sent["ts_ns"] - LATENCY_NS) & (own["ts_ns"] < sent["ts_ns"])]
    assert len(named) > 0, "while it travelled"
    states = own[(own["kind"] == ORDER_STATE) & (own["ts_ns"] <= sent["ts_ns"])]
    assert CANCELLED_STATUS not in states["code"].tolist() and (own["kind"] == CANCELLED).sum() == 0
    paper = Paper(tmp_path / "2.account", run, tape)
    for k in np.flatnonzero((record["kind"] < FIRST_OUTPUT_KIND) & (record["kind"] < ACK)).tolist():
        row = record[k : k + 1].copy()
        row["seq"] = 0
        if int(row["ts_ns"][0]) >= int(sent["ts_ns"]):
            break
        paper.take(row)
        if int(row["ts_ns"][0]) > int(sent["ts_ns"]) - LATENCY_NS:
            named = np.frombuffer(paper.account.snapshot().events, tape.events.dtype)
            assert passive in named["order_number"].tolist()
            assert paper.account.query(passive) == b"", "received: the market may still refuse it"


def test_books_are_compared_by_time_so_that_no_hold_takes_a_child_back_moex_ops_04_moex_acc_405() -> None:
    """As in a session, at a third of the age: ten minutes without a score, then one that finds nothing to wait for."""
    maker = Maker()
    bids, asks = [(29_999 - k, 100) for k in range(8)], [(30_001 + k, 100) for k in range(8)]
    for t in range(0, 600, 2):
        maker.book(float(t), bids, asks)
    maker.book(3_000.0, bids, asks).book(3_000.5, bids, asks)  # and a silence of forty minutes
    run = TapeRun(plan(), tape_calendar(SHARE, OPEN_NS), fixed(LATENCY_NS), OPEN_NS, tape=TAPE)
    tape = maker.made()
    run.feed(tape.events, tape.depths, tape.depth_of)
    record = run.tape()
    holds = record[np.isin(record["kind"], (HOLD_RAISED, HOLD_CLEARED))]
    assert BIT["RECON"] not in holds["code"].tolist()
    agreed = record["ts_ns"][(record["kind"] == RECON) & (record["code"] == RECON_END)]
    assert len(agreed) > 70 and int(np.diff(agreed).max()) <= 41 * S
