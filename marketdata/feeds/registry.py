"""Feeds by name: the one place that a new feed is added to.

The feed loop, training and the data-set commands call `open_feed`; each feed's module is imported only when its name
is asked for, because some of them load large libraries.  Nothing here reads data or a clock.
"""

from collections.abc import Callable

from marketdata.feeds.port import Feed, FeedError, FeedSpec


def _simulated(spec: FeedSpec) -> Feed:
    from marketdata.feeds.simulated import open_simulated

    return open_simulated(spec)


def _replay(spec: FeedSpec) -> Feed:
    from marketdata.feeds.replay import open_replay

    return open_replay(spec)


FEEDS: dict[str, Callable[[FeedSpec], Feed]] = {"simulated": _simulated, "replay": _replay}
LIVE: frozenset[str] = frozenset()  # those that bring a real market as it happens: none yet


def is_live(name: str) -> bool:
    """Whether this feed brings a real market as it happens; one that nobody listed does not."""
    return name in LIVE


def open_feed(spec: FeedSpec) -> Feed:
    """The feed that `spec.name` names.  Raises FeedError for an unknown name or for what the feed refuses."""
    try:
        opener = FEEDS[spec.name]
    except KeyError:
        raise FeedError(f"feed {spec.name!r} is unknown; known: {', '.join(sorted(FEEDS))}") from None
    return opener(spec)
