"""One-time sign-in links, and the name that rights hang on.

A link's token is never stored, only its hash; a used link keeps its row.
"""

from django.db import models


class SigninLink(models.Model):
    """A link that signs in once, from this machine, before `expires_at`."""

    token_hash = models.CharField(max_length=64, unique=True)
    made_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    sets_password = models.BooleanField(default=False)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=models.Q(expires_at__gt=models.F("made_at")), name="signin_link_has_life"),
        )

    def __str__(self) -> str:
        return f"sign-in link of {self.made_at:%Y-%m-%d %H:%M}"


class Right(models.Model):
    """No table: the content type that the rights of `desk.accounts.roles` hang on as Django permissions."""

    class Meta:
        managed = False
        default_permissions = ()
