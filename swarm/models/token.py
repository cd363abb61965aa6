"""API tokens: what scripts sign in with."""

from __future__ import annotations

import hashlib
import secrets

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import models
from django.utils.timezone import now


class ApiToken(models.Model):
    """A bearer token of one user; only its hash is stored (a token is random, so a plain SHA-256 is enough)."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(default=now)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"token of {self.user}"

    @classmethod
    def issue(cls, user: AbstractBaseUser) -> str:
        """Make a token for `user` and return it; it cannot be read again."""
        token = f"swarm_{secrets.token_urlsafe(32)}"
        cls.objects.create(user=user, digest=cls._digest(token))
        return token

    @classmethod
    def owner(cls, token: str) -> AbstractBaseUser | None:
        """The active user whose token this is, or None."""
        row = cls.objects.select_related("user").filter(digest=cls._digest(token), user__is_active=True).first()
        return row.user if row else None

    @staticmethod
    def _digest(token: str) -> str:
        return hashlib.sha256(token.encode()).hexdigest()
