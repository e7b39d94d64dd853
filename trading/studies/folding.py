"""How a walk-forward cuts the past into folds: lengths with their defaults, checked, and the plan that they make.

Nothing is traded or read here.  Called by the command `walkforward` and by the page that estimates one.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trading.research.folds import Plan

ROLLING, ANCHORED = "rolling", "anchored"
MONTH, DAY = "month", "day"
MONTHS = {"train": 6, "validation": 1, "test": 1, "step": 1, "holdout": 3}  # MES-WF-01
DAYS = {"train": 120, "validation": 10, "test": 10, "step": 10, "holdout": 0}  # calendar days, MOEX-TRAIN-02
FOLD_TRADES = 100  # MES-WF-04
EMBARGO, CHOOSE = 1, 5
LENGTHS = (
    ("train", "length of training"),
    ("validation", "length of validation"),
    ("test", "length of a test"),
    ("step", "from one fold to the next; not below the test"),
    ("holdout", "kept back at the end, touched by no fold; months only"),
)


def sizes_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The lengths, checked as far as they can be without the data.  Raises ResearchError."""
    from trading.research.records import ResearchError

    months = options["unit"] == MONTH
    defaults = MONTHS if months else DAYS
    sizes = {name: defaults[name] if options[name] is None else options[name] for name in defaults}
    for name, least in (("choose", 1), ("embargo", 1), ("fold_trades", 1)):
        if options[name] < least:
            raise ResearchError(f"--{name.replace('_', '-')} {options[name]}: at least {least}")
    if sizes["step"] < sizes["test"]:
        raise ResearchError(f"--step {sizes['step']} is below --test {sizes['test']}: tests would overlap")
    if not months and sizes["holdout"] != 0:
        raise ResearchError("--holdout is counted in months: with --unit day end the data earlier with --to")
    return {
        **sizes, "unit": options["unit"], "mode": options["mode"], "embargo": options["embargo"],
        "choose": options["choose"],
    }  # fmt: skip


def folds_of(sessions: Any, sizes: Mapping[str, Any]) -> "Plan":
    """The folds of these sessions (trading.research.folds.Sessions).  Raises ResearchError."""
    from trading.research.folds import day_folds, month_folds

    lengths = {name: sizes[name] for name in ("train", "validation", "test", "step")}
    expanding = sizes["mode"] == ANCHORED
    if sizes["unit"] == DAY:
        return day_folds(sessions, **lengths, expanding=expanding, embargo_sessions=sizes["embargo"])
    return month_folds(
        sessions, **lengths, holdout=sizes["holdout"], expanding=expanding, embargo_sessions=sizes["embargo"]
    )
