"""Makes and revokes API tokens."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from swarm.models import ApiToken


class Command(BaseCommand):
    help = "Prints a new API token for a user, once; only its hash is stored. --revoke ends all tokens of the user."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--revoke", action="store_true", help="end all tokens of this user instead")

    def handle(self, *args: Any, **options: Any) -> None:
        user = get_user_model().objects.filter(username=options["username"]).first()
        if user is None:
            raise CommandError(
                f"There is no user {options['username']!r}; make one with `manage.py createsuperuser` or in the admin."
            )
        if options["revoke"]:
            count, _ = ApiToken.objects.filter(user=user).delete()
            self.stdout.write(f"Revoked {count} tokens of {user}.")
        else:
            self.stdout.write(ApiToken.issue(user))
