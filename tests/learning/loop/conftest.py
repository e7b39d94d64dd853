"""The desk of an inference loop: its context, the market stream and the inbox, on a real Redis."""

from pathlib import Path

import pytest

from tests.learning.loop.test_inference_loop import KEY, spec_for
from tests.learning.tapes import START
from trading.run.clock import TAPE, SessionClock, save_clock
from trading.run.context import LoopContext
from trading.run.spec import ScorerSpec
from trading.run.streams import INBOX, MARKET, ZERO_ID, Stream, make_client


@pytest.fixture
def desk(redis_server, redis_client, tmp_path):
    """(context, market stream, inbox): both streams open, a tape clock stamped."""
    save_clock(tmp_path, SessionClock(START, 0, TAPE))
    context = LoopContext(
        folder=tmp_path,
        spec=spec_for(["MES"], ScorerSpec()),
        loop="inference",
        fence=1,
        connect=lambda: make_client(redis_server),
        guard=Path(tmp_path),
    )
    market, inbox = Stream(redis_client, KEY, MARKET), Stream(redis_client, KEY, INBOX)
    market.open(ZERO_ID)
    inbox.open(ZERO_ID)
    return context, market, inbox
