"""Lives under the shares' rulebook, for the harness."""

from tests.oracle.play import Profile
from tests.oracle.shares.desk import SharesDesk
from tests.oracle.shares.invariants import SharesWatch
from tests.oracle.shares.life import SharesWorld

SHARES = Profile("moex", SharesDesk, SharesWorld, SharesWatch)
