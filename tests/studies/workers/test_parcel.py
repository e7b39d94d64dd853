"""Subjects and trials on their way between machines: what arrives is what was sent, to the last bit."""

import json
from pathlib import Path

import numpy as np

from marketdata.core.instruments import instrument
from tests.backtest.market import at
from trading.research.records import Days
from trading.research.search.space import space_of
from trading.run.backtest.plan import Calendar
from trading.run.search.ledger import Trial
from trading.run.search.parcel import from_values, pack, to_values, unpack
from trading.run.search.trial import Subject

SPACE = space_of(
    {
        "risk.stop_method": ["fixed", "atr"],
        "risk.stop_atr": {"from": "1.0", "to": "3.0", "step": "0.25", "when": {"risk.stop_method": "atr"}},
        "risk.confidence_min": {"from": 60, "to": 85, "step": 5, "unit": "%"},
        "strategy.fast": [True, False],
    }
)


def test_a_subject_arrives_as_it_was() -> None:
    start_ns = int(at("2025-09-08", "10:00:00"))
    sent = Subject(
        tape=Path("/var/studies/a/.bars"),
        calendar=Calendar.between(start_ns, start_ns + 20 * 86_400 * 10**9),
        profile={"risk": {"stop_atr": 1.5, "capital": "1000 USD", "bar_mode": False}, "version": 1},
        instrument=instrument("MES"),
        limit_fill="through",
        strategy="own:decide",
        arguments=(("depth", 0.1), ("names", ["a", "b"])),
        folder="/somewhere",
        space=SPACE,
        objective="sharpe",
        trades_min=30,
    )
    got = from_values(json.loads(json.dumps(to_values(sent))))
    assert got._replace(calendar=sent.calendar) == sent
    assert got.calendar.sessions == sent.calendar.sessions and len(got.calendar.sessions) > 10
    assert got.calendar.open_ns.tolist() == sent.calendar.open_ns.tolist()
    kinds = [[type(value) for value in item.values] for item in got.space.parameters]
    assert kinds == [[type(value) for value in item.values] for item in SPACE.parameters]


def test_a_trial_arrives_to_the_last_bit() -> None:
    days = Days(7, 1_000_000_000, np.array([20260302, 20260303]), np.array([10, 20]), np.array([1_000_000_000, 999]))
    sent = Trial(
        "fold 1 train", "look", (3, -1, 0), 0.1 + 0.2, "", 41, -(2**40), -1e-300, "abc", days, b"rows\x00",
        np.array([[1, 2], [3, 4]]),
    )  # fmt: skip
    got = unpack(pack(sent))
    assert got._replace(days=None, curve=sent.curve) == sent._replace(days=None)
    assert got.curve.tolist() == sent.curve.tolist() and got.days is not None
    for name in ("start_ns", "start_micros"):
        assert getattr(got.days, name) == getattr(days, name)
    for name in ("trading_day", "close_ns", "equity_micros"):
        assert getattr(got.days, name).tolist() == getattr(days, name).tolist()


def test_a_trial_that_failed_before_its_first_bar_arrives_too() -> None:
    sent = Trial("study", "proposed", (0,), None, "it cannot trade", 0, 0, None, "", None)
    got = unpack(pack(sent._replace(sharpe=None)))
    assert got._replace(curve=sent.curve) == sent and got.curve.shape == (2, 0)


def test_figures_of_numpy_kind_are_packed_as_plain_ones() -> None:
    sent = Trial("study", "proposed", (0,), np.float64(1.5), "", 1, 2, np.float64(0.25), "", None)
    got = unpack(pack(sent))
    assert (got.score, got.sharpe) == (1.5, 0.25)
