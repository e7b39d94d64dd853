"""What a leakage check found, as values and as sentences; a check that could not be made counts as a leak.

No finding without a place: the column by name and number, the moment, and how far ahead it looks where that is known.
"""

from datetime import UTC, datetime
from typing import NamedTuple

from marketdata.core.units import NANOS

CHECKS = {
    "failed": "the pipeline answers for every data that it is given",
    "repeat": "the same bars give the same answer",
    "times": "rows are in order of the time at which they are known",
    "rows": "which rows there are does not depend on later bars",
    "future": "no feature of a row changes when bars after it are replaced",
    "split": "train, validation and test follow each other in time, without a row in common",
    "purge": "every label of a part is known before the next part begins",
    "fit": "nothing of a part changes when bars after that part are replaced: it was fitted on earlier rows alone",
    "prepare": "no prepared row of a later part changes when bars after it are replaced",
    "label": "no label changes after the moment at which it is said to be known",
}


class Finding(NamedTuple):
    """One leak.  `column` is empty where the whole row or part is meant."""

    check: str  # of CHECKS
    column: str
    moment_ns: int
    words: str


class Report(NamedTuple):
    """The outcome for one pipeline.  `unmoved`: columns that hold one value on this data, of which nothing is shown."""

    pipeline: str
    bars: int
    rows: int
    moments: int
    runs: int
    findings: list[Finding]
    unmoved: list[str]

    @property
    def passed(self) -> bool:
        """No leak was found, and there was something to look at."""
        return not self.findings

    def sentences(self) -> list[str]:
        """The report for people, the verdict first."""
        verdict = "no leak found" if self.passed else f"LEAKS: {len(self.findings)} found"
        looked = f"{self.rows:,} rows of {self.bars:,} bars, {self.moments:,} moments, {self.runs:,} runs"
        told = [f"{self.pipeline}: {verdict} ({looked})"]
        told += [f"  {CHECKS[finding.check]} - NOT SO: {finding.words}" for finding in self.findings]
        if self.unmoved:
            told.append(f"  not shown for columns that hold one value on this data: {', '.join(self.unmoved)}")
        return told


def at(time_ns: int) -> str:
    """A moment for people, UTC."""
    return f"{datetime.fromtimestamp(time_ns / NANOS, UTC):%Y-%m-%d %H:%M:%S} UTC"
