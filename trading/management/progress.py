"""A progress bar for commands whose work tells (done, total, words); silent when asked, or when nobody watches."""

import sys
from types import TracebackType

from tqdm import tqdm


class Bar:
    """Use as a context; `show` may be given to any function that reports (done, total, words)."""

    def __init__(self, *, quiet: bool) -> None:
        unseen = quiet or not sys.stderr.isatty()
        self._bar = tqdm(total=1000, disable=unseen, bar_format="{bar:30} {percentage:3.0f}% {desc}")

    def show(self, done: int, total: int, words: str) -> None:
        """Move the bar to done/total."""
        self._bar.set_description_str(words, refresh=False)
        self._bar.n = 1000 * done // max(1, total)
        self._bar.refresh()

    def __enter__(self) -> "Bar":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
