"""Which account a start takes: the profile's own, one that stands, or a new one that is stored with the start.

Pre-flight looks at an account that is not stored yet as at any other; nothing is written before the session is made.
Called by pre-flight and by the form of a new session.
"""

from trading import configs, services
from trading.models import Account


def account_for(profile: configs.Profile, name: str = "") -> Account:
    """The profile's paper account, or the one of this name; not stored where it does not exist."""
    name = name or f"paper {profile.profile}"
    stored = Account.objects.filter(name=name).first()
    return stored or Account(
        name=name,
        venue=profile.market.venue,
        currency=profile.market.currency,
        balance_micros=profile.limits()["capital_micros"],
    )


def named(word: str, name: str) -> Account | None:
    """The account of this name for the profile that `word` finds; None where the profile does not load."""
    try:
        return account_for(configs.profile_of(configs.find(word)), name)
    except configs.ConfigError:
        return None  # pre-flight's own row says so


def stored(account: Account | None, profile: configs.Profile) -> Account:
    """The account that pre-flight looked at, stored where it was new.  Raises StartRefused."""
    if account is None:
        return services.demo_account(profile)
    if account.pk is not None:
        return account
    found = services.open_account(
        name=account.name, venue=account.venue, currency=account.currency, balance_micros=account.balance_micros
    )
    if (found.venue, found.currency) != (account.venue, account.currency):
        raise services.StartRefused("ACCOUNT_UNKNOWN", f"account {found.name} was opened for another venue meanwhile")
    return found
