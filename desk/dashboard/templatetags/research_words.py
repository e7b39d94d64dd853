"""Template filters of the research pages: rows of criticism and gate by name, what each asks for, money of a study."""

from collections.abc import Iterable
from decimal import Decimal

from django import template
from django.utils.translation import gettext_lazy as lazy

register = template.Library()
SIGNS = {">=": "≥", "<=": "≤"}
NAMES = {
    "net_at_cost_1_5": lazy("net at 1.5 × costs"),
    "pbo": lazy("probability of overfitting"),
    "deflated_sharpe": lazy("Sharpe, deflated"),
    "probabilistic_sharpe": lazy("Sharpe, probabilistic"),
    "detectable_sharpe": lazy("Sharpe that could be told"),
    "detectable_edge": lazy("edge that could be told"),
    "sharpe": lazy("Sharpe"),
    "sharpe_low": lazy("Sharpe, lower bound"),
    "mean_net_low": lazy("mean net, lower bound"),
    "sharpe_per_trade": lazy("Sharpe per trade"),
    "sharpe_interval_low": lazy("Sharpe, lower bound"),
    "mean_net_interval_low": lazy("mean net of a trade, lower bound"),
    "win_rate_interval_low": lazy("win rate, lower bound"),
    "profit_factor_interval_low": lazy("profit factor, lower bound"),
    "cost_per_trade": lazy("commission of a trade"),
    "cost_share": lazy("commission, share of the gains"),
    "sessions_read": lazy("sessions that cannot be read"),
    "paper_optimism": lazy("paper against live"),
    "walk_forward": lazy("walk-forward, Sharpe"),
    "calmar": lazy("Calmar"),
    "worst_fold_sharpe": lazy("Sharpe of the worst fold"),
    "fold_sharpe_deviation": lazy("Sharpe, spread over folds"),
    "features_p99_ms": lazy("features, p99, ms"),
    "inference_p99_ms": lazy("inference, p99, ms"),
    "both_p99_ms": lazy("both together, p99, ms"),
    "eod_flatten": lazy("flat at the end of day"),
    "books_agree": lazy("the accounts agree"),
    "drawdown_other_order": lazy("drawdown in another order"),
    "accuracy_gain_low": lazy("gain in accuracy, lower bound"),
    "batch_streaming_difference": lazy("batch against streaming"),
    "random_as_good": lazy("random strategies as good"),
    "share_of_possible": lazy("share of the possible"),
}


@register.filter
def row_name(code: object) -> str:
    """A row of the criticism or the gate in words."""
    return str(NAMES.get(str(code), str(code).replace("_", " ")))


@register.filter
def row_names(codes: Iterable[object]) -> str:
    """Several of them, with commas."""
    return ", ".join(row_name(code) for code in codes)


@register.filter
def asks(relation: str, bound: float | str) -> str:
    """What a row must be: "≥ 0.95", "≤ 1e-9"."""
    number = Decimal(str(bound))
    text = f"{number:g}" if 0 < abs(number) < Decimal("0.0001") else str(bound)
    return f"{SIGNS.get(relation, relation)} {text}"


@register.filter
def undocumented(text: str) -> str:
    """The first line of a docstring without its marks of code."""
    return text.replace("`", "")


@register.filter
def hashed(value: object) -> bool:
    """Whether a value is the digits of a hash: shown by its first ones."""
    text = str(value)
    return len(text) >= 40 and all(digit in "0123456789abcdef" for digit in text)
