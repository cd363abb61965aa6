"""A process that is frozen inside a transaction does not hold up the others for long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psycopg
import pytest

from tests.factories import PATIENCE_S

HOLD_A_LOCK = """
import sys, django
django.setup()
from django.db import connection, transaction
with transaction.atomic(), connection.cursor() as cursor:
    cursor.execute("SELECT pg_advisory_xact_lock(42)")
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.postgresql
def test_locks_that_a_frozen_process_holds_are_free_after_a_while(postgresql_url: str) -> None:
    settings = {"DJANGO_SETTINGS_MODULE": "swarmsite.settings", "DATABASE_URL": postgresql_url}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_A_LOCK],
        env=os.environ | settings,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            process.send_signal(signal.SIGSTOP)
            with psycopg.connect(postgresql_url) as other:
                other.execute(f"SET lock_timeout = '{2 * PATIENCE_S:.0f}s'")
                other.execute("SELECT pg_advisory_xact_lock(42)")
        finally:
            process.kill()
