"""`manage.py walkforward`: search in the past, trade what came after, fold by fold; the tests joined and judged.

Thin: words into folds and an open study, the walk in trading.run.forward, three files beside the ledger.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandParser

from trading.management.progress import Bar
from trading.research.search.methods import TRIALS
from trading.studies.command import StudyCommand
from trading.studies.folding import (
    ANCHORED,
    CHOOSE,
    DAY,
    DAYS,
    EMBARGO,
    FOLD_TRADES,
    LENGTHS,
    MONTH,
    MONTHS,
    ROLLING,
    folds_of,
    sizes_of,
)  # fmt: skip
from trading.studies.opening import Shown, Study, add_search_arguments, study

if TYPE_CHECKING:
    import numpy as np

    from trading.research.folds import Fold, Plan, Sessions
    from trading.run.forward.holdout import Opened
    from trading.run.forward.report import Judged
    from trading.run.forward.retraining import How, Retrainer
    from trading.run.forward.walk import Outcome


class Command(StudyCommand):
    """See `help`."""

    help = (
        "Walk forward: search the parameters in each fold's training, choose in its validation, trade its test once."
        " Every fold is reported, the infeasible ones with their reason; the tests are joined, judged and held against"
        " the go-live gate. Every trial is on disk before it counts: after Ctrl-C or a kill the same command goes on."
        " docs/optimise.md has examples."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        add_search_arguments(parser)
        parser.add_argument("--mode", choices=(ROLLING, ANCHORED), default=ROLLING, help="anchored: all of the past")
        parser.add_argument("--unit", choices=(MONTH, DAY), default=MONTH, help="of the next five (month)")
        for name, text in LENGTHS:
            parser.add_argument(f"--{name}", type=int, help=f"{text} ({MONTHS[name]} months, {DAYS[name]} days)")
        words = f"first sessions of validation and test left out ({EMBARGO})"
        parser.add_argument("--embargo", type=int, default=EMBARGO, help=words)
        words = f"best of training that validation chooses from ({CHOOSE})"
        parser.add_argument("--choose", type=int, default=CHOOSE, help=words)
        parser.add_argument(
            "--fold-trades", type=int, default=FOLD_TRADES, help=f"a test with fewer proves nothing ({FOLD_TRADES})"
        )

        words = "file of bar features (manage.py features --schema bars): every fold has a network of its own"
        parser.add_argument("--retrain", type=Path, metavar="FILE", help=words)
        parser.add_argument("--epochs", type=int, default=20, help="of --retrain: passes over its training (20)")
        words = "of --retrain: a row every so many seconds (5)"
        parser.add_argument("--retrain-every", type=int, default=5, help=words)
        words = "trade the hold-out once with the one configuration of all folds: it cannot be sealed again (MES-WF-03)"
        parser.add_argument("--open-holdout", default="", metavar="NAME", help=words)

    def work(self, options: dict[str, Any]) -> dict[str, Any]:
        from trading.run.forward import report
        from trading.run.forward.walk import Walk, sessions_of
        from trading.run.search.study import Progress

        sizes = sizes_of(options)
        purpose = {"purpose": "walkforward", "walk": sizes, "trials": options["trials"] or TRIALS[options["method"]]}
        networks = _networks(options)
        if networks is not None:
            from trading.run.forward.retraining import STRATEGY, identity_of

            purpose["networks"] = identity_of(networks, options["symbol"])
            options = options | {"strategy": STRATEGY}
        with study(options, purpose, self.say) as opened:
            self.folder = str(opened.folder)
            starts_ns = opened.crew.bench.tape.columns.start_ns
            calendar = opened.history.calendar.from_bar(int(starts_ns[0]))
            last = int(starts_ns[-1])
            sessions = sessions_of([session for session in calendar.sessions if session.open_ns <= last])
            plan = folds_of(sessions, sizes)
            self.say(f"{len(plan.folds)} folds; {_holdout(plan)}")
            retrain = _retrainer(networks, opened, starts_ns, sessions)
            walk = Walk(
                opened.ledger, opened.crew, opened.space, opened.how, starts_ns, sessions, options["choose"], retrain
            )
            with Bar(quiet=options["json"], lines=options["progress_lines"]) as bar:

                def progress(fold: "Fold") -> Progress:
                    return Shown(bar, f"trials of fold {fold.number} of {len(plan.folds)}").show

                outcomes = walk.run(plan.folds, progress)
            one = walk.combine(outcomes)
            seen = self._holdout(options, opened, starts_ns, plan, one)
            start_micros = opened.history.plan.capital_micros
            told = None if retrain is None else retrain.told()
            config_hash = "" if one is None else one[1][0].config_hash
            beside = report.Beside(config_hash, walk.dearer(outcomes), walk.break_even(outcomes), told)
            found = report.judged(
                opened.ledger, opened.folder, outcomes, start_micros, options["fold_trades"], options["seed"],
                time.time_ns(), beside,
            )  # fmt: skip
            values = report.walk_values(opened.ledger, outcomes, opened.space, found, one, _holdout(plan, seen), seen)
            report.write(opened.folder, outcomes, opened.space, found, values)
            if not options["json"]:
                self._tell(opened, outcomes, found, values)
        return values

    def _holdout(
        self, options: dict[str, Any], study: Study, starts_ns: "np.ndarray", plan: "Plan", one: Any
    ) -> "Opened | None":
        """What its opening showed, now or before; None while it is sealed."""
        from trading.research.records import ResearchError
        from trading.run.forward.holdout import open_holdout, opened

        if options["open_holdout"]:
            if one is None:
                raise ResearchError("no fold chose a configuration: there is nothing to open the hold-out with")
            open_holdout(
                study.ledger, study.crew, starts_ns, plan.holdout, one[0], options["open_holdout"], time.time_ns()
            )
        return opened(study.ledger, plan.holdout)

    def _tell(self, opened: Study, outcomes: "list[Outcome]", found: "Judged", values: dict[str, Any]) -> None:
        """A line a fold, the joined tests, what speaks against them, what the gate wants."""
        from trading.run.backtest.judged import spoken

        write: Callable[[str], object] = self.stdout.write
        for row in values["folds"]:
            chosen = "nothing chosen" if row["set"] is None else _words(row["set"])
            scores = " → ".join(_number(row[name]["score"]) for name in ("train", "validation", "test"))
            note = f"  ({row['note']})" if row["note"] else ""
            test = row["test"]
            write(
                f"fold {row['fold']:>2}  test {str(test['from'])[:10]} .. {str(test['to'])[:10]}  {scores}"
                f"  {test['trades'] or 0} trades, net {test['net'] or 0}  {chosen}{note}"
            )
        walk = found.walk
        write(f"score of each: training → validation → test ({opened.crew.bench.subject.objective})")
        write(f"profitable folds {_share(walk.profitable.value)}; kept of the promise {_share(found.efficiency.value)}"
              f"{'' if found.efficiency.value is not None else f' ({found.efficiency.why})'}")  # fmt: skip
        write("robust" if walk.robust else f"not robust: {walk.why_not}")
        if (one := values["combined"]) is not None:
            write(
                f"one configuration from all folds: {_words(one['set'])}; on the tests"
                f" {one['trades']:,} trades, net {one['net']}"
            )
        if (joined := values["out_of_sample"]) is not None:
            sharpe = joined["returns"]["sharpe"]
            write(
                f"out of sample: {joined['trades']:,} trades, net {joined['net']} USD, Sharpe"
                f" {_number(sharpe if isinstance(sharpe, float) else None)}, deepest drawdown {joined['drawdown']} USD"
            )
        blocked = [row.name for row in found.rows if row.blocks]
        for line in spoken({"rows": values["criticism"], "blocked_by": blocked}):
            write(line)
        missing = found.gate.missing
        write(
            f"Go-live gate: {len(missing)} of {len(found.gate.rows)} rows block"
            f" ({', '.join(row.name for row in missing)})."
            if missing
            else "Go-live gate: passed."
        )
        write(values["holdout"])
        write(f"files: {opened.folder}")


def _networks(options: dict[str, Any]) -> "How | None":
    """How every fold's network is trained; None where the strategy decides."""
    from trading.research.records import ResearchError
    from trading.run.forward.retraining import How

    if options["retrain"] is None:
        return None
    for name in ("epochs", "retrain_every"):
        if options[name] < 1:
            raise ResearchError(f"--{name.replace('_', '-')} {options[name]}: at least 1")
    if options["strategy"] != "column":
        raise ResearchError("--retrain makes the decisions: give no --strategy")
    if options["distributed"] or options["open_holdout"]:
        raise ResearchError("with --retrain neither --distributed nor --open-holdout is done yet")
    return How(options["retrain"], options["epochs"], options["retrain_every"], options["seed"])


def _retrainer(
    networks: "How | None", opened: Study, starts_ns: "np.ndarray", sessions: "Sessions"
) -> "Retrainer | None":
    from trading.run.forward.retraining import Retrainer

    if networks is None:
        return None
    subject = opened.crew.bench.subject
    return Retrainer(networks, subject.instrument.symbol, starts_ns, sessions, subject.tape)


def _holdout(plan: "Plan", seen: "Opened | None" = None) -> str:
    from trading.run.backtest.summary import utc
    from trading.run.forward.holdout import words_of

    part = plan.holdout
    if part.sessions == 0:
        return "no hold-out: nothing is left that was never looked at"
    words = f"hold-out of {part.sessions} sessions from {utc(part.open_ns)} on, touched by no fold"
    return words if seen is None else f"{words}; {words_of(seen)}"


def _words(values: dict[str, Any]) -> str:
    return ", ".join(f"{path.partition('.')[2]} {value}" for path, value in values.items())


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"
