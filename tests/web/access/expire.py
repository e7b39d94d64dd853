"""Ends every sign-in of one person, as twelve hours would.  Run as `python -m tests.web.access.expire NAME` in a desk's
environment.
"""

import sys

import django


def main() -> None:
    django.setup()
    from django.contrib.auth.models import User
    from django.contrib.sessions.models import Session

    pk = str(User.objects.get(username=sys.argv[1]).pk)
    for row in Session.objects.all():
        if row.get_decoded().get("_auth_user_id") == pk:
            row.delete()


if __name__ == "__main__":
    main()
