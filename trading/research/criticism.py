"""A result that criticises itself: what luck, selection, costs and the sample's size leave of it, as rows of verdicts.

Each row has a value, a bound, the size of its sample and one sentence for people (N11, MES-GUARD).  What was not handed
in is a row without data, never a row left out; the rows of OVERFIT_ROWS must all stand before a gate lets anything
through.  Pure: the registry of trials, the search and the baselines' runs are handed in.  Called by reports and gates.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from marketdata.core.units import MICROS, text_from_micros
from trading.research.figures import (
    NO_WORDS,
    REPORT,
    WARNING,
    Figure,
    Verdict,
    figure,
    judge,
    money,
    not_applicable,
    number,
    percent,
    ratio,
)
from trading.research.intervals import (
    Interval,
    detectable_edge,
    detectable_sharpe,
    mean_net_interval,
    sharpe_interval,
)
from trading.research.luck.costs import GATE_FACTOR, costs_borne, dearer_net
from trading.research.luck.paths import bootstrapped_days, shuffled_trades
from trading.research.luck.plateau import KEPT_MIN, Axis, Point, plateau
from trading.research.luck.selection import overfit_probability
from trading.research.luck.sharpe import days_needed, deflated_sharpe, probabilistic_sharpe
from trading.research.metrics import NO_TRADES
from trading.research.records import Curve, Days, ResearchError, Trades, daily_returns, session_of, total

CONFIDENCE_MIN = 0.95
PBO_MAX = 0.30
LUCK_MAX = 0.05  # chance of a random strategy to do as well
TRADES_MIN = 100
UNTOLD = "Nobody said how many trials were run on these data before this one"
OVERFIT_ROWS = ("deflated_sharpe", "pbo", "plateau", "net_at_cost_1_5")


class Search(NamedTuple):
    """The parameter search that chose this configuration: its axes, the chosen point, and all evaluated scores."""

    axes: Sequence[Axis]
    best: Point
    scores: Mapping[Point, float | None]


class Subject(NamedTuple):
    """What is criticised, and against what.

    `trial_sharpes` (N,) float64: daily Sharpe of every trial ever run on this data set, this one and failed ones
    included, NaN where undefined; N is the registry's count.  `trial_returns` (D, N') float64: daily returns over the
    same sessions of the trials that have them, N' <= N.  `random_nets_micros` (K,) int64: net of K random strategies
    with the same exits and about as many trades.  `possible_micros`: the most that perfect foresight makes.  `told`:
    how many trials were run where not all of them left a Sharpe ratio here; None: nobody said, so nothing that depends
    on it can be judged.
    """

    trades: Trades
    days: Days
    curve: Curve
    trial_sharpes: np.ndarray
    trial_returns: np.ndarray | None = None
    search: Search | None = None
    random_nets_micros: np.ndarray | None = None
    possible_micros: int | None = None
    seed: int = 1
    told: int | None = 0

    @property
    def trials(self) -> int:
        """How many trials were run, this one included."""
        return max(len(self.trial_sharpes), self.told or 0)


def criticise(subject: Subject) -> tuple[Verdict, ...]:
    """All rows, in the order in which a reader wants them.  Raises ResearchError for inputs that contradict."""
    if len(subject.trial_sharpes) < 1:
        raise ResearchError("the result itself is a trial: the registry's count cannot be 0")
    if subject.trial_returns is not None and subject.trial_returns.shape[1] > len(subject.trial_sharpes):
        raise ResearchError("more trials have returns than the registry counts")
    if bool(np.isinf(subject.trial_sharpes).any()):
        raise ResearchError("a trial has an infinite Sharpe ratio: one that is undefined is NaN")
    session = session_of(subject.days, subject.trades.exit_ns)
    returns, why = daily_returns(subject.days)
    return (
        _books(subject),
        _sample(subject),
        *overfit_rows(subject),
        *_confidence(subject, session, returns, why),
        *_other_paths(subject, returns, why),
        _against_random(subject),
        _against_foresight(subject),
    )


def overfit_rows(subject: Subject) -> tuple[Verdict, ...]:
    """The four rows of N11, in the order of OVERFIT_ROWS."""
    returns, why = daily_returns(subject.days)
    return _deflated(subject, returns, why), _selection(subject, returns), _plateau(subject), _dearer(subject)


def _books(subject: Subject) -> Verdict:
    """MES-BT-22: the trades explain the account's change to the micro."""
    off = total(subject.trades.net_micros) - (subject.days.end_micros - subject.days.start_micros)
    text = "The trades leave {off} of the account's change unexplained; they must explain it to the micro."
    n = len(subject.trades)
    return judge("books_agree", figure(abs(off)), "<=", 0, n, "trades", text, words={"off": text_from_micros(off)})


def _sample(subject: Subject) -> Verdict:
    n = len(subject.trades)
    text = "The result rests on {n} trades; below {bound} nothing can be said."
    return judge("trades", figure(n), ">=", TRADES_MIN, n, "trades", text)


def _deflated(subject: Subject, returns: np.ndarray, why: str) -> Verdict:
    trials = subject.trials
    text = (
        "After {trials} trials on these data luck alone shows a daily Sharpe of {hurdle}; this one is {sharpe} and "
        "better than luck with a probability of {share}."
    )
    if subject.told is None or why:
        return judge("deflated_sharpe", Figure(None, why or UNTOLD), ">=", CONFIDENCE_MIN, len(returns), "days", text)
    found = deflated_sharpe(returns, subject.trial_sharpes, trials)
    words = {"trials": f"{trials:,}", "hurdle": number(found.hurdle), "sharpe": number(found.sharpe)}
    words["share"] = percent(found.probability.value or 0.0)
    return judge("deflated_sharpe", found.probability, ">=", CONFIDENCE_MIN, found.days, "days", text, words=words)


def _selection(subject: Subject, returns: np.ndarray) -> Verdict:
    text = (
        "In {share} of all ways to split the days in two the best of {n} trials on one half was among the worse on "
        "the other; more than {limit} means that choosing the best chooses luck."
    )
    trials = subject.trials
    if subject.told is None:
        return judge("pbo", Figure(None, UNTOLD), "<=", PBO_MAX, trials, "trials", text)
    if trials == 1:
        only = "One trial was run on these data, so nothing was chosen among several."
        return not_applicable("pbo", "<=", PBO_MAX, 1, "trials", only)
    words = {"share": "", "limit": percent(PBO_MAX)}
    incomplete = _incomplete(subject, returns)
    if subject.trial_returns is None or incomplete:
        return judge("pbo", Figure(None, incomplete), "<=", PBO_MAX, trials, "trials", text, words=words)
    found = overfit_probability(subject.trial_returns)
    words["share"] = percent(found.pbo.value or 0.0)
    return judge("pbo", found.pbo, "<=", PBO_MAX, found.trials, "trials", text, words=words)


def _incomplete(subject: Subject, returns: np.ndarray) -> str:
    """Why the trials' returns are not those of every trial over these sessions; empty when they are."""
    every = subject.trial_returns
    if every is None or every.shape[0] != len(subject.days) or every.shape[1] < 2:
        return "The daily returns of all trials over these sessions were not handed in"
    defined = int(np.isfinite(subject.trial_sharpes).sum())
    if every.shape[1] < defined:
        return f"{defined} trials have a Sharpe ratio, the daily returns of {every.shape[1]} were handed in"
    if len(returns) == 0 or not np.isclose(every, returns[:, None], rtol=1e-9, atol=1e-15).all(axis=0).any():
        return "The result itself is not among the trials whose returns were handed in"
    return ""


def _plateau(subject: Subject) -> Verdict:
    text = (
        "One step away from the chosen parameters at least {share} of the score is left, over {neighbours} neighbours; "
        "below {limit} the choice stands on a needle."
    )
    words = {"share": "", "neighbours": "0", "limit": percent(KEPT_MIN)}
    trials = subject.trials
    if subject.told is None:
        return judge("plateau", Figure(None, UNTOLD), ">=", KEPT_MIN, trials, "trials", text)
    if trials == 1:
        only = "One trial was run on these data, so no parameter was chosen."
        return not_applicable("plateau", ">=", KEPT_MIN, 1, "trials", only)
    if subject.search is None:
        missing = Figure(None, "The scores of the search were not handed in")
        return judge("plateau", missing, ">=", KEPT_MIN, trials, "trials", text, words=words)
    found = plateau(*subject.search)
    words |= {"share": percent(found.kept.value or 0.0), "neighbours": str(len(found.neighbours))}
    return judge("plateau", found.kept, ">=", KEPT_MIN, trials, "trials", text, words=words)


def _dearer(subject: Subject) -> Verdict:
    trades = subject.trades
    net = total(dearer_net(trades, GATE_FACTOR))
    borne = costs_borne(trades)
    text = "With costs half as high again the same trades net {net}."
    if borne.value is not None:
        text += " They would bear {borne} times the assumed costs."
    measured = figure(net / MICROS) if len(trades) else Figure(None, NO_TRADES)
    words = {"net": money(net), "borne": number(borne.value)}
    return judge("net_at_cost_1_5", measured, ">", 0, len(trades), "trades", text, words=words)


def _confidence(subject: Subject, session: np.ndarray, returns: np.ndarray, why: str) -> tuple[Verdict, ...]:
    net, days, n = subject.trades.net_micros, len(subject.days), len(subject.trades)
    per_trade = mean_net_interval(net, session, days, seed=subject.seed)
    sharpe = sharpe_interval(returns, seed=subject.seed)
    edge = detectable_edge(net, session, days)
    mean = ratio(total(net), n, NO_TRADES)
    surplus = Figure(None, edge.why or mean.why)
    if edge.value is not None and mean.value is not None:
        surplus = figure((mean.value - edge.value) / MICROS)
    above_zero = Figure(None, why) if why else probabilistic_sharpe(returns)
    seen = "With {n} trades an edge below {edge} per trade cannot be told from luck; the mean net is {mean}."
    short = "In {n} days an annual Sharpe ratio below {value} cannot be told from luck."
    likely = "Had this been the only trial, its Sharpe would be above zero with a probability of {share}."
    return (
        judge("detectable_edge", surplus, ">=", 0, n, "trades", seen, WARNING,
              words={"edge": money(edge.value or 0.0), "mean": money(mean.value or 0.0)}),
        _lowest("mean_net_low", per_trade, True, n, "trades",
                "The mean net per trade lies between {low} and {high} with 95 % confidence."),
        _lowest("sharpe_low", sharpe, False, days, "days",
                "The annual Sharpe ratio lies between {low} and {high} with 95 % confidence.", why),
        judge("probabilistic_sharpe", above_zero, ">=", CONFIDENCE_MIN, days, "days", likely, WARNING,
              words={"share": percent(above_zero.value or 0.0)}),
        judge("detectable_sharpe", detectable_sharpe(days), "", None, days, "days", short, REPORT),
        _record(subject, returns, why),
    )  # fmt: skip


def _record(subject: Subject, returns: np.ndarray, why: str) -> Verdict:
    text = "About {value} sessions like these would be needed to be sure of it after all trials; there are {n}."
    needed = Figure(None, why or UNTOLD)
    if not why and subject.told is not None:
        needed = days_needed(returns, deflated_sharpe(returns, subject.trial_sharpes, subject.trials).hurdle)
    if needed.value is not None:
        needed = figure(math.ceil(needed.value))
    return judge("sessions_needed", needed, "", None, len(returns), "days", text, REPORT)


def _lowest(name: str, found: Interval, in_money: bool, n: int, n_of: str, text: str, why: str = "") -> Verdict:
    """A warning unless the whole interval lies above zero."""
    low, words = Figure(None, why or found.why), NO_WORDS
    if found.low is not None and found.high is not None:
        low = figure(found.low / MICROS if in_money else found.low)
        say = money if in_money else number
        words = {"low": say(found.low), "high": say(found.high)}
    return judge(name, low, ">", 0, n, n_of, text, WARNING, words=words)


def _other_paths(subject: Subject, returns: np.ndarray, why: str) -> tuple[Verdict, ...]:
    start, n = subject.days.start_micros, len(subject.trades)
    order = "In other orders the same trades fall {p50} from a peak in the median and {p95} or more in one of 20."
    ruin = "Days like these, drawn anew, lose {level} or more of the starting capital in {share} of {paths} lives."
    rows = []
    if n == 0:
        rows.append(judge("drawdown_other_order", Figure(None, NO_TRADES), "", None, 0, "trades", order, REPORT))
    else:
        fall = shuffled_trades(subject.trades.net_micros, start, seed=subject.seed).drawdown_micros
        words = {"p50": money(fall.p50), "p95": money(fall.p95)}
        at = figure(fall.p95 / MICROS)
        rows.append(judge("drawdown_other_order", at, "", None, n, "trades", order, REPORT, words=words))
    if len(returns) == 0:
        missing = Figure(None, why or "There were no sessions")
        return (*rows, judge("risk_of_ruin", missing, "", None, 0, "days", ruin, REPORT))
    lives = bootstrapped_days(returns, start, seed=subject.seed)
    for level, chance in lives.loss_chance.items():
        words = {"level": money(level), "share": percent(chance), "paths": f"{lives.paths:,}"}
        name = f"risk_of_losing_{level // MICROS}"
        rows.append(judge(name, figure(chance), "", None, len(returns), "days", ruin, REPORT, words=words))
    return tuple(rows)


def _against_random(subject: Subject) -> Verdict:
    """Share of random strategies that do as well, the result itself counted in (Phipson, Smyth 2010: never 0)."""
    text = "{share} of {n} random strategies with the same exits did as well or better."
    nets = subject.random_nets_micros
    if nets is None or len(nets) == 0:
        missing = Figure(None, "No random strategies were run beside it")
        return judge("random_as_good", missing, "<=", LUCK_MAX, 0, "runs", text, WARNING, words={"share": ""})
    as_good = ratio(1 + int((nets >= total(subject.trades.net_micros)).sum()), 1 + len(nets), "")
    share = percent(as_good.value or 0.0)
    return judge("random_as_good", as_good, "<=", LUCK_MAX, len(nets), "runs", text, WARNING, words={"share": share})


def _against_foresight(subject: Subject) -> Verdict:
    text = "The result is {share} of what perfect foresight could have made; above 100 % something saw the future."
    n, possible = len(subject.trades), subject.possible_micros
    if possible is None:
        missing = Figure(None, "What perfect foresight could have made was not handed in")
        return judge("share_of_possible", missing, "<=", 1, n, "trades", text, WARNING, words={"share": ""})
    share = ratio(total(subject.trades.net_micros), possible, "Perfect foresight makes nothing on these data")
    words = {"share": percent(share.value or 0.0)}
    return judge("share_of_possible", share, "<=", 1, n, "trades", text, WARNING, words=words)
