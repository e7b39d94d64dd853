"""Backtests, searches and proofs of parity that a page asked for: of what, how far each is, what came of it.  Written
by `desk.backtests.runs`, `searches`, `parity.jobs` and `working` alone.

A backtest's row never goes, also when an admin deletes the result's files: it stays one of the trials on its data.
"""

from django.db import models
from django.db.models import Q

from marketdata.models import CANCELLED, DONE, FAILED, OPEN, RUNNING, STATES, WAITING, BatchRow, DataSet
from trading.models import Session

__all__ = [
    "CANCELLED", "DONE", "FAILED", "OPEN", "RUNNING", "WAITING", "BacktestRun", "ParityRun", "SearchRun",
]  # fmt: skip

SEARCH, WALK = "optimise", "walkforward"  # commands, and the purposes of studies


class BacktestRun(BatchRow):
    """One backtest as a batch job.  Times of the market are trading days as text; money is exact text of the files."""

    QUEUE_S = 4 * 3600  # a study on all workers keeps no row, and may be before it
    ENDED = f"{BatchRow.ENDED}; nothing of it is left: run it again"

    data_set = models.ForeignKey(DataSet, models.SET_NULL, null=True, related_name="backtests")
    data_path = models.CharField(
        max_length=500, help_text="the data set's name in the store, made of its source's hash"
    )
    config = models.CharField(max_length=80, help_text="version, like mes-topstep@3")
    symbol = models.CharField(max_length=16)
    strategy = models.CharField(max_length=200, help_text="module:function")
    changes = models.JSONField(default=list, help_text="PATH=VALUE of configuration and function")
    first = models.CharField(max_length=10, blank=True, help_text="first trading day")
    last = models.CharField(max_length=10, blank=True, help_text="last trading day, included")
    books = models.BooleanField(default=False, help_text="over a tape of books instead of bars")
    latency = models.CharField(max_length=24, blank=True, help_text="of books: empty is the profile's")
    seconds = models.BigIntegerField(default=0, help_text="of books: length of the tape, 0 is all of it")
    seed = models.BigIntegerField(default=1)
    elsewhere = models.BigIntegerField(default=0, help_text="trials on these data that this desk does not know of")
    trial = models.CharField(max_length=64, help_text="sha256 of what decides the result: the same trial counts once")
    asked = models.CharField(max_length=64, help_text="the same with seed and number of trials")
    trials = models.BigIntegerField(default=0, help_text="as counted when it began, this one included")
    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(default=0)
    words = models.CharField(max_length=200, blank=True, help_text="how far it is, as the command says it")
    files = models.JSONField(default=dict, help_text="the manifest: name → [bytes, sha256]")
    figures = models.JSONField(default=dict, help_text="net, trades, sharpe, drawdown, blocked_by: for lists")
    deleted_by = models.CharField(max_length=150, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(state__in=[name for name, _ in STATES]), name="backtest_state_known"),
            models.CheckConstraint(
                condition=Q(done__gte=0, total__gte=0, elsewhere__gte=0, trials__gte=0, seed__gte=0, seconds__gte=0),
                name="backtest_figures_sane",
            ),
            models.CheckConstraint(condition=~Q(state=DONE) | Q(trials__gte=1), name="backtest_result_is_a_trial"),
            models.UniqueConstraint(
                fields=("asked",), condition=Q(state__in=OPEN), name="backtest_one_open_per_request"
            ),
        )
        indexes = (models.Index(fields=("data_path", "state"), name="backtest_of_data"),)

    def __str__(self) -> str:
        return f"backtest {self.pk} of {self.config}, {self.state}"

    @property
    def title(self) -> str:
        return f"backtest {self.pk}"


class SearchRun(BatchRow):
    """One search of parameters, or one walk-forward, as a batch job.  What it finds is in the study's folder."""

    QUEUE_S = BacktestRun.QUEUE_S
    ENDED = f"{BatchRow.ENDED}; what it tried is kept: the same name goes on"

    name = models.CharField(max_length=60, help_text="the study's folder in var/studies")
    purpose = models.CharField(max_length=16, default=SEARCH, choices=[(name, name) for name in (SEARCH, WALK)])
    walk = models.JSONField(default=dict, help_text="words of a walk-forward; empty for a search")
    distributed = models.BooleanField(default=False, help_text="on the batch workers of the queue")
    asked = models.CharField(max_length=64, help_text="sha256 of the name: one search at a time writes a folder")
    data_set = models.ForeignKey(DataSet, models.SET_NULL, null=True, related_name="searches")
    config = models.CharField(max_length=80, help_text="version, like mes-topstep@3")
    symbol = models.CharField(max_length=16)
    strategy = models.CharField(max_length=200, help_text="module:function")
    changes = models.JSONField(default=list, help_text="PATH=VALUE of configuration and function, for all trials")
    first = models.CharField(max_length=10, blank=True, help_text="first trading day")
    last = models.CharField(max_length=10, blank=True, help_text="last trading day, included")
    space = models.CharField(max_length=60, blank=True, help_text="a shipped space")
    params = models.JSONField(default=list, help_text="PATH=VALUES of further parameters")
    method = models.CharField(max_length=16)
    trials = models.BigIntegerField(default=0, help_text="how many at most; 0: as the method does by itself")
    objective = models.CharField(max_length=16)
    min_trades = models.BigIntegerField()
    seed = models.BigIntegerField(default=1)
    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(default=0)
    words = models.CharField(max_length=200, blank=True, help_text="how far it is, as the command says it")

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(state__in=[name for name, _ in STATES]), name="search_state_known"),
            models.CheckConstraint(
                condition=Q(done__gte=0, total__gte=0, trials__gte=0, min_trades__gte=0, seed__gte=0),
                name="search_figures_sane",
            ),
            models.UniqueConstraint(fields=("asked",), condition=Q(state__in=OPEN), name="search_one_open_per_study"),
        )
        indexes = (models.Index(fields=("name", "-id"), name="search_of_study"),)

    def __str__(self) -> str:
        return f"search {self.name}, {self.state}"

    @property
    def title(self) -> str:
        return f"search {self.name}"


class ParityRun(BatchRow):
    """One session held against itself as a backtest, as a batch job.  What is found lies beside the results."""

    QUEUE_S = BacktestRun.QUEUE_S
    ENDED = f"{BatchRow.ENDED}; nothing of it is left: have it compared again"

    session = models.ForeignKey(Session, models.CASCADE, related_name="parity_runs")
    asked = models.CharField(max_length=64, help_text="sha256 of the session: one comparison at a time")
    verdict = models.CharField(max_length=16, blank=True, help_text="identical, decisions only, differs")
    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(default=0)
    words = models.CharField(max_length=200, blank=True, help_text="how far it is, as the command says it")

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(state__in=[name for name, _ in STATES]), name="parity_state_known"),
            models.CheckConstraint(condition=Q(done__gte=0, total__gte=0), name="parity_figures_sane"),
            models.UniqueConstraint(fields=("asked",), condition=Q(state__in=OPEN), name="parity_one_open_per_session"),
        )
        indexes = (models.Index(fields=("session", "-id"), name="parity_of_session"),)

    def __str__(self) -> str:
        return f"session {self.session_id} as a backtest, {self.state}"

    @property
    def title(self) -> str:
        return f"session {self.session_id} as a backtest"
