"""What the shell hands to the loops: bodies by name, their context, the venue, the followers of the journal.

The one place where edge and shell are joined; a body knows only its context.  Imported by a loop worker when it holds
its first loop, never by a process that forks.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
import numpy as np
from django.conf import settings
from django.utils.module_loading import import_string

from marketdata.core.records import new_events
from marketdata.feeds.port import FeedError
from trading.brokers.paper import PaperBroker, PaperMarket, terms_of
from trading.brokers.port import OutcomeUnknown, RateLimited, Rejected, Unreachable
from trading.brokers.wire import FENCED
from trading.control import session_folder
from trading.core.records import TIMER
from trading.run.bodies.errors import keep_failure, tell_failure
from trading.run.bodies.execution_loop import ExecutionLoop
from trading.run.bodies.feed_loop import FeedLoop
from trading.run.bodies.risk_loop import RiskLoop
from trading.run.bodies.sinks_loop import Follower, SinksLoop
from trading.run.clock import ClockMissing, SessionClock, load_clock
from trading.run.context import Body, Fenced, LoopContext
from trading.run.inference_loop import InferenceLoop
from trading.run.loops import Runner
from trading.run.replica import Kernel
from trading.run.spec import SpecError, load_spec
from trading.run.streams import Board, make_client

HOPELESS = FeedError  # of a tape that was never opened: no later try helps


def assemble(
    session_id: int, loop: str, stop: threading.Event
) -> tuple[Body, Callable[[Runner], LoopContext], Callable[[Mapping[str, object]], None]]:
    """Body, context and the figures' outlet of one loop."""
    folder = session_folder(session_id)
    spec = load_spec(folder)
    board = Board(make_client(spec.redis_url), spec.key)

    def make_context(runner: Runner) -> LoopContext:
        return LoopContext(
            folder=folder,
            spec=spec,
            loop=loop,
            fence=runner.lease.fence,
            connect=lambda: make_client(spec.redis_url),
            guard=Path(settings.VAR) / "guard",
            code_hash=settings.CODE_HASH,
            time_server=settings.TIME_SERVER,
            stop=stop,
            beat=runner.beat,
            overdue=runner.lease.overdue,
        )

    def show(figures: Mapping[str, object]) -> None:
        board.show(f"{loop}.run", msgspec.json.encode(figures))

    return BODIES[loop](), make_context, show


def report_failure(session_id: int, loop: str) -> None:
    """Tell the kernel that a loop ended by an error that nobody foresaw (T-10); never in the way of that error."""
    folder = session_folder(session_id)
    try:
        spec = load_spec(folder)
        now_ns = load_clock(folder).now()
    except (SpecError, ClockMissing, OSError):
        return  # nothing trades yet
    if loop == "risk":
        keep_failure(folder)
    else:
        tell_failure(spec.redis_url, spec.key, loop, now_ns)


class VenueMarket:
    """The paper venue as the feed loop sees it: one of its errors means "not now"."""

    def __init__(self, context: LoopContext, clock: SessionClock) -> None:
        spec = context.spec
        self._market = PaperMarket(Path(spec.venue_socket), spec.key, terms_of(spec), context.fence, clock)

    def connect(self) -> int:
        """Open the account if need be; the tape position that the venue has.  Raises Unreachable, Fenced."""
        with _venue_errors():
            return self._market.connect()

    def market(self, events: np.ndarray, depths: np.ndarray, depth_of: np.ndarray, position: int) -> None:
        """Market events, once by their position.  Raises Unreachable, Fenced."""
        with _venue_errors():
            self._market.market(events, depths, depth_of, position)

    def close(self) -> None:
        self._market.close()


@contextlib.contextmanager
def _venue_errors() -> Iterator[None]:
    try:
        yield
    except (OutcomeUnknown, RateLimited) as error:
        raise Unreachable(str(error)) from error
    except Rejected as error:
        if error.reason == FENCED:
            raise Fenced(str(error)) from error
        raise Unreachable(str(error)) from error


def make_broker(context: LoopContext) -> PaperBroker:
    """The execution loop's broker; the mode was chosen when the session was made."""
    spec = context.spec
    try:
        clock = load_clock(context.folder).record()
    except ClockMissing:
        clock = None  # the feed brings it to the venue with the first market frame
    return PaperBroker(Path(spec.venue_socket), spec.key, terms_of(spec), clock)


def make_followers(context: LoopContext) -> list[Follower]:
    """Who follows the journal, as the settings name them."""
    return [import_string(path)(context) for path in settings.SINK_FOLLOWERS]


BODIES: dict[str, Callable[[], Body]] = {
    "feed": lambda: FeedLoop(VenueMarket),
    "inference": InferenceLoop,
    "risk": RiskLoop,
    "execution": lambda: ExecutionLoop(make_broker),
    "sinks": lambda: SinksLoop(make_followers),
}


def preload() -> None:
    """Load what every loop needs, compiled kernels included, before this worker bids for anything."""
    events = new_events(1)
    events["kind"] = TIMER
    Kernel().apply(events)
