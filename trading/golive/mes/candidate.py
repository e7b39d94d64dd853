"""What a report of the futures' gate speaks for: one configuration, one network, one build (MES-GATE-01).

Unlike the shares' lineage it has no relatives: another configuration, network or code has no report.  Called by
`report` and by pre-flight.
"""

from trading.golive.lineage import digest
from trading.preflight.inputs import artifact_digest
from trading.run.search.version import trial_code


def lineage_of(config_hash: str, network_hash: str) -> str:
    """SHA-256 (hex) of them and of the code on this disk; "" where one is unknown."""
    if not config_hash or not network_hash:
        return ""
    return digest({"config": config_hash, "network": network_hash, "code": trial_code()})


def network_of(folder: str) -> str:
    """The hash of a network by the folder of its artifact; "" without one, or where it cannot be read."""
    try:
        return artifact_digest(folder)
    except OSError:
        return ""
