"""Reports of the go-live gate and its overrides, to read."""

from trading.admin import read_only
from trading.golive.models import GateOverride, GateReport

read_only(
    GateReport,
    ("gate", "profile", "account", "passed", "rehearsal", "lineage", "by", "made_at"),
    ("gate", "passed", "rehearsal"),
)
read_only(GateOverride, ("venue", "trading_day", "by", "reason", "made_at"), ("venue",))
