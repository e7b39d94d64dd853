"""A new desk's database and static files, two people and one started paper session, through the desk's own services.

Run as `python -m tests.web.seed` in the desk's environment; DESK_TEST_SESSION=no leaves the session out.  Alice
may do all, Olga operates, Victor only reads.
"""

import os

import django

PASSWORD = "ladder-and-tape-9"


def main() -> None:
    django.setup()
    from django.contrib.auth.models import Group, User
    from django.core.management import call_command

    from trading import configs, services
    from trading.run.spec import FeedSpec

    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    User.objects.create_superuser("alice", password=PASSWORD)
    User.objects.create_user("victor", password=PASSWORD)
    olga = User.objects.create_user("olga", password=PASSWORD)
    olga.groups.add(Group.objects.get(name="operator"))
    configs.ship()
    if os.environ.get("DESK_TEST_SESSION") == "no":
        return
    version = configs.find("demo-mes")
    account = services.demo_account(configs.profile_of(version))
    session = services.create_session(
        account=account, version=version, feed=FeedSpec(name="simulated", symbols=["MES"], seed=7), by="alice"
    )
    services.start_session(session.id, "alice")


if __name__ == "__main__":
    main()
