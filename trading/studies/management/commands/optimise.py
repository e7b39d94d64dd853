"""`manage.py optimise`: a search over parameters, every trial kept, the best one criticised for having been chosen.

Thin: words into an open study, the search in trading.run.search, tables and the best as a backtest beside the ledger.
"""

from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError, CommandParser

from trading.management.progress import Bar
from trading.studies.command import StudyCommand
from trading.studies.opening import Shown, Study, add_search_arguments, study

if TYPE_CHECKING:
    from trading.research.search.methods import Seen


class Command(StudyCommand):
    """See `help`."""

    help = (
        "Search the parameters of a configuration and of a strategy's function on recorded bars, on all cores. Every"
        " trial is on disk before it counts: Ctrl-C or a kill loses nothing, the same command goes on, more --trials"
        " continue it. Ends with the best as a backtest that says how likely it is luck after so many trials."
        " docs/optimise.md has examples."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        add_search_arguments(parser)
        parser.add_argument("--random", type=int, help="random strategies to hold the best against (39); 0: none")

    def conclude(self, values: dict[str, Any]) -> None:
        if values["best"] is None:
            raise CommandError(_hopeless(values))

    def work(self, options: dict[str, Any]) -> dict[str, Any]:
        from trading.run.backtest.rivals import RANDOM_RUNS
        from trading.run.search import report
        from trading.run.search.judgement import STAGE
        from trading.run.search.study import Search, Stretch

        runs = RANDOM_RUNS if options["random"] is None else options["random"]
        with study(options, {"purpose": "optimise"}, self.say) as opened:
            self.folder = str(opened.folder)
            with Bar(quiet=options["json"], lines=options["progress_lines"]) as bar:
                progress = Shown(bar, "trials").show
                stretch = Stretch(STAGE, 0, opened.rows)
                best = Search(opened.ledger, opened.crew, opened.space, opened.how, stretch, progress).run()
                tried = opened.ledger.count()
                bar.show(tried, tried, f"{tried:,} trials; the best as a backtest, and what speaks against it")
                summary = self._best(opened, best, runs, options["seed"])
            values = report.study_values(opened.ledger, opened.space, best, summary)
            report.write_tables(opened.ledger, opened.folder, opened.space, values)
            if not options["json"]:
                self._tell(opened, values, summary)
        return values

    def _best(self, opened: Study, best: "Seen | None", runs: int, seed: int) -> dict[str, Any] | None:
        from trading.run.search.report import write_best

        if best is None:
            return None
        bench = opened.crew.bench
        return write_best(opened.ledger, opened.folder, bench, best, opened.rows, opened.named, runs, seed)

    def _tell(self, opened: Study, values: dict[str, Any], summary: dict[str, Any] | None) -> None:
        from trading.run.backtest.judged import spoken

        trials = values["trials"]
        self.stdout.write(f"{trials['count']:,} trials, {trials['feasible']:,} feasible: {opened.folder}")
        if summary is None or values["best"] is None:
            return
        chosen = " ".join(f"--set '{path}={_word(value)}'" for path, value in values["best"]["set"].items())
        self.stdout.write(f"best {values['best']['score']:.4g}: {chosen}")
        self.stdout.write(f"{summary['trades']['count']:,} trades, net {summary['trades']['net']} USD")
        plateau = values["plateau"]
        kept = plateau["why"] if plateau["kept"] is None else f"{100 * plateau['kept']:.0f} % of the score is left"
        self.stdout.write(f"one step away, at worst: {kept}")
        for line in spoken(summary["criticism"]):
            self.stdout.write(line)
        self.stdout.write(f"As a backtest: the same words and --study {opened.folder} {chosen}")


def _word(value: object) -> str:
    """A value as --set takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _hopeless(values: dict[str, Any]) -> str:
    reasons = values["trials"]["infeasible"]
    why = next(iter(reasons), "nothing was tried")
    return f"none of {values['trials']['count']:,} trials is feasible; most often: {why}"
