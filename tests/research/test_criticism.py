"""The rows of criticism: what each says of a run made by hand, and that nothing left out is passed over (N11)."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.research.kit import DOLLAR, booked, closes
from trading.research.criticism import OVERFIT_ROWS, Search, Subject, criticise
from trading.research.figures import FAILED, NO_DATA, NOT_APPLICABLE, PASSED, WARNING, Verdict, figure, judge, money
from trading.research.gate import Candidate, evidence_of
from trading.research.luck.plateau import Axis, Point
from trading.research.records import ResearchError, daily_returns

SESSIONS = 252


def good_run(seed: int = 1, mean: float = 3.0) -> Subject:
    """Four trades a day of $3 on average, deviation $8: an annual Sharpe of about 12, as the only trial."""
    rng = np.random.default_rng(seed)
    nets = [[round(x) * DOLLAR // 100 for x in rng.normal(100 * mean, 800, 4)] for _ in range(SESSIONS)]
    trades, days = booked(nets, start=10_000 * DOLLAR)
    return Subject(trades, days, closes(days), np.array([0.7]))


def searched(subject: Subject, trials: int = 9, keeps: float = 0.9) -> Subject:
    """The same as the best of a small search whose other trials are noise."""
    rng = np.random.default_rng(2)
    own, _ = daily_returns(subject.days)
    returns = np.column_stack([own, rng.normal(0, own.std(), (SESSIONS, trials - 1))])
    sharpes = returns.mean(axis=0) / returns.std(axis=0, ddof=1)
    scores: dict[Point, float | None] = {(0,): keeps, (1,): 1.0, (2,): 1.0}
    return subject._replace(
        trial_sharpes=sharpes, trial_returns=returns, search=Search((Axis("stop", 3),), (1,), scores),
        random_nets_micros=np.arange(-500, 500, dtype=np.int64) * DOLLAR, possible_micros=90_000 * DOLLAR,
    )  # fmt: skip


def rows_of(subject: Subject) -> dict[str, Verdict]:
    return {row.name: row for row in criticise(subject)}


def test_a_good_result_of_a_search_stands() -> None:
    rows = rows_of(searched(good_run()))
    bad = [row.sentence for row in rows.values() if row.state in (FAILED, NO_DATA)]
    assert not bad
    assert all(rows[name].state == PASSED for name in OVERFIT_ROWS)
    assert rows["random_as_good"].value == 1 / 1_001 and rows["plateau"].value == 0.9


def test_every_row_has_a_sentence_a_sample_and_a_bound() -> None:
    for subject in (good_run(), searched(good_run()), _empty()):
        for row in criticise(subject):
            assert row.sentence.endswith(".") and "{" not in row.sentence and "None" not in row.sentence
            assert (row.bound is None) == (row.relation == "")
            assert row.n >= 0 and row.n_of


def test_the_only_trial_was_not_chosen() -> None:
    rows = rows_of(good_run())
    assert rows["pbo"].state == rows["plateau"].state == NOT_APPLICABLE
    assert not rows["pbo"].blocks and rows["deflated_sharpe"].state == PASSED


def test_what_was_not_handed_in_blocks() -> None:
    """A search of nine whose returns, scores, random runs and foresight are missing: rows, not silence."""
    bare = searched(good_run())._replace(trial_returns=None, search=None, random_nets_micros=None, possible_micros=None)
    rows = rows_of(bare)
    for name in ("pbo", "plateau"):
        assert rows[name].state == NO_DATA and rows[name].blocks and "not handed in" in rows[name].sentence
    for name in ("random_as_good", "share_of_possible"):
        assert rows[name].state == NO_DATA and rows[name].weight == WARNING


def test_a_run_without_trades_is_criticised_too() -> None:
    rows = rows_of(_empty())
    assert not [name for name in OVERFIT_ROWS if rows[name].passed]
    assert rows["deflated_sharpe"].blocks and rows["net_at_cost_1_5"].blocks and rows["trades"].state == FAILED


def test_more_trials_deflate_the_same_result() -> None:
    once = searched(good_run(mean=0.55))
    noise = np.random.default_rng(3).normal(0, 0.06, 5_000)
    often = once._replace(trial_sharpes=np.concatenate([once.trial_sharpes, noise]))
    few, many = (rows_of(subject)["deflated_sharpe"] for subject in (once, often))
    assert few.value is not None and many.value is not None and many.value < few.value
    assert "After 5,009 trials" in many.sentence


def test_a_needle_and_dear_costs_are_found() -> None:
    assert rows_of(searched(good_run(), keeps=0.69))["plateau"].state == FAILED
    # net of $0.50 a trade bears $2.09 of costs, but not half of them more
    rows = rows_of(good_run(mean=0.5))
    assert rows["net_at_cost_1_5"].state == FAILED and "with costs half" in rows["net_at_cost_1_5"].sentence.lower()


def test_books_that_do_not_agree_by_a_micro_block() -> None:
    subject = good_run()
    equity = subject.days.equity_micros.copy()
    equity[-1] += 1
    days = subject.days.__class__(
        subject.days.start_ns, subject.days.start_micros, subject.days.trading_day, subject.days.close_ns, equity
    )
    rows = rows_of(subject._replace(days=days, curve=closes(days)))
    assert rows["books_agree"].state == FAILED and rows["books_agree"].blocks


def test_a_weak_result_is_told_what_it_could_not_have_seen() -> None:
    rows = rows_of(good_run(mean=0.2))
    assert rows["detectable_edge"].state == FAILED and rows["detectable_edge"].weight == WARNING
    assert "cannot be told from luck" in rows["detectable_edge"].sentence
    for name in ("mean_net_low", "sharpe_low", "probabilistic_sharpe"):
        assert rows[name].state == FAILED and rows[name].weight == WARNING


def test_inputs_that_contradict_are_refused() -> None:
    with pytest.raises(ResearchError, match="itself is a trial"):
        criticise(good_run()._replace(trial_sharpes=np.array([])))
    with pytest.raises(ResearchError, match="more trials have returns"):
        criticise(good_run()._replace(trial_returns=np.zeros((SESSIONS, 2))))
    with pytest.raises(ResearchError, match="infinite"):
        criticise(good_run()._replace(trial_sharpes=np.array([0.1, np.inf])))


def test_a_row_becomes_evidence_for_the_gate() -> None:
    candidate = Candidate("config", "network", "code")
    rows = rows_of(good_run())
    good = evidence_of(rows["deflated_sharpe"], "run 7", 5, candidate)
    assert good.value == rows["deflated_sharpe"].value and good.config_hash == "config" and good.n == SESSIONS
    single = evidence_of(rows["pbo"], "run 7", 5, candidate)
    assert single.value is None and single.n == 1 and single.why


def test_money_and_missing_values_in_sentences() -> None:
    amounts = (1_234_567_891, -5_000, -4_999, 0, -2_505_000)
    assert [money(x) for x in amounts] == ["1,234.57", "-0.01", "0.00", "0.00", "-2.51"]
    row = judge("x", figure(1.5), ">", 1, 7, "days", "{value} of {n} {n_of}, more than {bound}.")
    assert row.sentence == "1.5 of 7 days, more than 1." and row.passed


def _empty() -> Subject:
    trades, days = booked([[]] * 30)
    return Subject(trades, days, closes(days), np.array([0.0, np.nan]))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s._replace(trial_returns=s.trial_returns[:-1]), "were not handed in"),
        (lambda s: s._replace(trial_returns=s.trial_returns[:, :1]), "were not handed in"),
        (
            lambda s: s._replace(trial_returns=s.trial_returns[:, :-1]),
            "9 trials have a Sharpe ratio, the daily returns of 8",
        ),
        (lambda s: s._replace(trial_returns=-s.trial_returns), "not among the trials"),
    ],
)
def test_returns_that_are_not_every_trials_prove_nothing(change: Callable[[Subject], Subject], says: str) -> None:
    """Who may leave trials out chooses his own probability of overfitting."""
    row = rows_of(change(searched(good_run())))["pbo"]
    assert row.state == NO_DATA and row.blocks and says in row.sentence


def test_a_trial_that_failed_has_no_returns_and_still_counts() -> None:
    subject = searched(good_run())
    failed = subject._replace(trial_sharpes=np.append(subject.trial_sharpes, [np.nan] * 3))
    rows = rows_of(failed)
    assert rows["pbo"].state == PASSED and "After 12 trials" in rows["deflated_sharpe"].sentence
