"""What an operator asks of a session's live data, on its way to the feed loop and back: a short list on Redis.

A wish that is not taken within LIFE_S is not done any more, so nothing happens long after somebody has asked for it.
Each leaves one answer, which is gone after a minute.  Losing either loses nothing that counts: the wish was not done,
or LIVE DATA shows what it did.  Asked by `trading.live.universe`, taken by the feed loop.
"""

from typing import Any

import msgspec
import redis

from trading.run.clock import boot_ns
from trading.run.streams import StreamAway, StreamFull

REPLACE, RESYNC = "replace", "resync"
LIFE_S = 2.0
ANSWER_LIFE_S = 60
WAITING_MAX = 16
TOO_LATE = "the feed loop came to it too late: nothing was done"


class Wish(msgspec.Struct, frozen=True):
    """One wish.  `boot_ns`: when it was asked, boot clock; `current`, `replacement`: symbols of a replace."""

    id: str
    kind: str
    boot_ns: int
    current: str = ""
    replacement: str = ""

    def is_late(self, now_boot_ns: int) -> bool:
        """Whether its time is over, or it is of another boot of the machine."""
        return not 0 <= now_boot_ns - self.boot_ns <= LIFE_S * 1e9


class Wishes:
    """The wishes of one session, as one thread of one process sees them.  Every method raises StreamAway."""

    def __init__(self, client: "redis.Redis", session: str) -> None:
        self._client: Any = client
        self._key = f"desk:{session}:wishes"

    def ask(self, wish: Wish) -> None:
        """Put one in.  Raises StreamFull when nobody takes them."""
        try:
            if self._client.rpush(self._key, msgspec.json.encode(wish)) > WAITING_MAX:
                self._client.rpop(self._key)
                raise StreamFull(f"{WAITING_MAX} wishes wait already: the feed loop takes none")
            self._client.expire(self._key, ANSWER_LIFE_S)
        except redis.RedisError as error:
            raise StreamAway(str(error)) from error

    def take(self) -> Wish | None:
        """The next one, whose answer is due now; late ones are answered here.  None: there is none."""
        try:
            while (raw := self._client.lpop(self._key)) is not None:
                try:
                    wish = msgspec.json.decode(raw, type=Wish)
                except msgspec.MsgspecError:
                    continue  # not ours
                if not wish.is_late(boot_ns()):
                    return wish
                self.answer(wish, TOO_LATE)
        except redis.RedisError as error:
            raise StreamAway(str(error)) from error
        return None

    def answer(self, wish: Wish, refusal: str) -> None:
        """What came of it: why not, or empty."""
        try:
            self._client.set(f"{self._key}:{wish.id}", refusal.encode(), ex=ANSWER_LIFE_S)
        except redis.RedisError as error:
            raise StreamAway(str(error)) from error

    def answer_of(self, wish: Wish) -> str | None:
        """See `answer`; None: not answered yet."""
        try:
            raw = self._client.get(f"{self._key}:{wish.id}")
        except redis.RedisError as error:
            raise StreamAway(str(error)) from error
        return None if raw is None else bytes(raw).decode()
