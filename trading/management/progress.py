"""A progress bar for commands whose work tells (done, total, words); silent when asked, or when nobody watches."""

import json
import sys
import time
from types import TracebackType

from tqdm import tqdm

LINE_S = 0.5


class Bar:
    """Use as a context; `show` may be given to any function that reports (done, total, words)."""

    def __init__(self, *, quiet: bool, lines: bool = False) -> None:
        """`lines`: tell a program, one JSON object a line on standard error: twice a second at most, and at the end."""
        self._lines, self._said_s = lines, float("-inf")
        unseen = quiet or not sys.stderr.isatty()
        self._bar = tqdm(total=1000, disable=unseen, bar_format="{bar:30} {percentage:3.0f}% {desc}")

    def show(self, done: int, total: int, words: str) -> None:
        """Move the bar to done/total."""
        if self._lines and (done >= total or time.monotonic() - self._said_s >= LINE_S):
            self._said_s = time.monotonic()
            print(json.dumps({"done": done, "total": total, "words": words}), file=sys.stderr, flush=True)
        self._bar.set_description_str(words, refresh=False)
        self._bar.n = 1000 * done // max(1, total)
        self._bar.refresh()

    def __enter__(self) -> "Bar":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
