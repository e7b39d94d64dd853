"""What a new desk begins with, through the desk's own services: `people` and all that stands before them, a `session`.

Run as `python -m tests.web.seed people` and `… session` in the desk's environment.  Alice may do all, Olga operates,
Victor only reads; the session is started, on paper.
"""

import sys

import django

PASSWORD = "ladder-and-tape-9"


def people() -> None:
    """Tables, static files, three people, the shipped versions."""
    from django.contrib.auth.models import Group, User
    from django.core.management import call_command

    from trading import configs

    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    User.objects.create_superuser("alice", password=PASSWORD)
    User.objects.create_user("victor", password=PASSWORD)
    olga = User.objects.create_user("olga", password=PASSWORD)
    olga.groups.add(Group.objects.get(name="operator"))
    configs.ship()


def session() -> None:
    """One started session on the simulated market; its files name this very desk's folder."""
    from trading import configs, services
    from trading.run.spec import FeedSpec

    version = configs.find("demo-mes")
    account = services.demo_account(configs.profile_of(version))
    made = services.create_session(
        account=account, version=version, feed=FeedSpec(name="simulated", symbols=["MES"], seed=7), by="alice"
    )
    services.start_session(made.id, "alice")


if __name__ == "__main__":
    django.setup()
    {"people": people, "session": session}[sys.argv[1]]()
