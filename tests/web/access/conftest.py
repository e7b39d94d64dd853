"""One desk for all tests of this folder: venue and guard run, sign-ins are looked up every second."""

from collections.abc import Iterator

import pytest

from tests.web.access.kit import until
from tests.web.kit import Desk


@pytest.fixture(scope="package")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk with a started session and its producer."""
    found = Desk(tmp_path_factory.mktemp("hostile"), extra={"DESK_SOCKET_RECHECK_S": "1"})
    try:
        found.start()
        found.produce()
        found.spawn("manage", "venue")
        found.spawn("manage", "guard")
        until((found.folder / "guard" / "guard.sock").exists)
        until((found.folder / "venue" / "venue.sock").exists)
        yield found
    finally:
        found.stop()
