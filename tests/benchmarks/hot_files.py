"""How long forty nodes need that change ten files in random orders, beside the ideal schedule of the same claims.

Each node reads, changes and writes back up to three files; the model answers after 0.3 s, in this process. The ideal is
the longest chain of the nodes' own work that the order of their claims allows: what a run takes longer went into
hand-overs, deadlocks and the wait for integration.
"""

from __future__ import annotations

import logging
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

LATENCY_S = 0.3
STORIES = 40
LEDGERS = 10
SEEDS = (1, 2, 3)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="swarm-hot-files-") as directory:
        folder = Path(directory)
        _configure(folder)
        import django

        django.setup()
        logging.getLogger("swarm").setLevel(logging.WARNING)
        from django.core.management import call_command

        call_command("migrate", interactive=False, verbosity=0)
        print(f"{'seed':>5} {'makespan':>9} {'ideal':>8} {'ratio':>6} {'waits':>6} {'deadlocks':>10} {'completed':>10}")
        return max(_run(seed, folder / str(seed)) for seed in SEEDS)


def _configure(folder: Path) -> None:
    """Set the environment that the settings read; only then may Django be loaded."""
    os.environ.update(
        SWARM_STORIES="stories",
        SWARM_CHECK_COMMAND="sh check.sh",
        SWARM_CHAT_MODEL="ledger-keeper",
        SWARM_RPM="0",
        SWARM_TPM="0",
        SWARM_MAX_IN_FLIGHT="0",
        DATABASE_URL=f"sqlite:///{folder / 'db.sqlite3'}",
        REDIS_URL="",
        SECRET_KEY="benchmark",
        DJANGO_SETTINGS_MODULE="swarmsite.settings",
    )


def _run(seed: int, folder: Path) -> int:
    """Run all stories once and print a line; 1 if a node failed."""
    from django.conf import settings

    from swarm.chat.gateway import close_gateway
    from swarm.models import Conflict, Execution
    from tests.chat.server import Exchange, model_server
    from tests.engine.ledgers import draw_plans, make_ledgers, sign
    from tests.engine.schedules import ideal_makespan, recorded_nodes
    from tests.main_job import MainJob

    def think_and_sign(exchange: Exchange) -> None:
        time.sleep(LATENCY_S)
        sign(exchange)

    plans = draw_plans(stories=STORIES, ledgers=LEDGERS, most=3, rng=random.Random(seed))
    workspace = make_ledgers(folder, plans, random.Random(seed))
    with model_server() as model:
        settings.SWARM_WORKSPACE = str(workspace)
        settings.SWARM_CHAT_BASE_URL = model.url
        close_gateway()
        report = MainJob(workspace, model, dict.fromkeys(plans, think_and_sign)).run(*plans)
        close_gateway()
    makespan_s = report["parallelism"]["makespan"] or 0.0
    execution = Execution.objects.get(pk=report["id"])
    ideal_s = ideal_makespan(recorded_nodes(execution))
    outcomes = Counter(execution.conflicts.values_list("outcome", flat=True))
    completed = report["progress"]["completed"]
    print(
        f"{seed:>5} {makespan_s:>7.2f} s {ideal_s:>6.2f} s {makespan_s / ideal_s:>6.2f} "
        f"{outcomes.total():>6} {outcomes[Conflict.Outcome.DEADLOCK]:>10} {completed:>7}/{STORIES}",
        flush=True,
    )
    return 0 if completed == STORIES else 1


if __name__ == "__main__":
    sys.exit(main())
