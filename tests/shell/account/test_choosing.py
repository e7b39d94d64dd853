"""Several paper accounts of one profile: chosen or named for a session, stored when it starts (issue 4)."""

import pytest
from django.test import Client

from desk.accounts.roles import OPERATOR
from desk.dashboard.forms import FIRST_RUN, SessionForm
from tests.shell.account.kit import account_of, lived, losing
from tests.shell.frames import shipped
from tests.shell.test_reset_page import signed_in
from trading import configs, services
from trading.accounts import opening
from trading.models import Account

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_folder")]


def form(**changes: str) -> SessionForm:
    shipped()
    return SessionForm(FIRST_RUN | changes)


def test_nothing_chosen_is_the_profiles_own_account() -> None:
    asked = form()
    assert asked.is_valid() and asked.plan().account is None
    profile = configs.profile_of(shipped())
    assert opening.stored(None, profile).name == "paper demo-mes"


def test_an_account_that_stands_is_chosen_by_name() -> None:
    other = services.open_account(name="second", venue="cme", currency="USD", balance_micros=5)
    asked = form(account="second")
    assert asked.is_valid() and asked.plan().account == other
    assert opening.stored(other, configs.profile_of(shipped())) == other
    assert not form(account="nobody's").is_valid()


def test_a_new_one_is_stored_with_the_start_alone() -> None:
    asked = form(new_account="  third ")
    assert asked.is_valid()
    account = asked.plan().account
    assert account is not None and account.pk is None and (account.name, account.venue) == ("third", "cme")
    profile = configs.profile_of(shipped())
    assert account.balance_micros == profile.limits()["capital_micros"]
    assert not Account.objects.filter(name="third").exists(), "looking writes nothing"
    stored = opening.stored(account, profile)
    assert Account.objects.get(name="third") == stored
    assert not form(new_account="third").is_valid(), "it stands by now: choose it"
    assert not form(account="third", new_account="fourth").is_valid(), "one of the two"
    assert not form(new_account="Paper moex-tinvest").is_valid(), "another profile's own will have it"


def test_a_name_that_another_venue_took_meanwhile_is_refused() -> None:
    profile = configs.profile_of(shipped())
    account = opening.account_for(profile, "fifth")
    services.open_account(name="fifth", venue="moex", currency="RUB", balance_micros=5)
    with pytest.raises(services.StartRefused, match="another venue"):
        opening.stored(account, profile)


def test_a_second_account_does_not_continue_the_first() -> None:
    """Money belongs to the account: a chosen one is no fresh budget of the first, and opens with its own."""
    from tests.shell.account.kit import made, spec_of
    from trading.accounts import past

    first = lived(losing())
    other = services.open_account(name="second", venue="cme", currency="USD", balance_micros=5)
    plan = spec_of(made(account=other))
    assert past.find_past(other, plan) is None
    continued = past.find_past(account_of(), plan)
    assert continued is not None and continued.session == first.id


def test_the_page_offers_them(client: Client) -> None:
    services.open_account(name="second", venue="cme", currency="USD", balance_micros=5)
    olga = signed_in(client, "olga", OPERATOR)
    shipped()
    page = olga.get("/preflight/", FIRST_RUN | {"account": "nobody's"}).content.decode()
    assert '<option value="second">second, USD</option>' in page and 'name="new_account"' in page
