"""Running the check command: bounded, scrubbed, and leaving nothing behind."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from swarm.cancellation import Cancellation
from swarm.errors import Cancelled
from swarm.workspace.checks import CheckResult, run_checks

NONE: Mapping[str, str] = {}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "checkout" / "workspace"
    directory.mkdir(parents=True)
    return directory


def run(
    command: str,
    directory: Path,
    environment: Mapping[str, str] = NONE,
    timeout_s: float = 30,
    cancellation: Cancellation | None = None,
) -> CheckResult:
    return run_checks(
        command,
        directory,
        environment=environment,
        timeout_s=timeout_s,
        cancellation=cancellation or Cancellation(),
    )


def open_fifo(path: Path) -> int:
    """Make a FIFO and open its reading end, which hangs up when the last process that writes to it is dead."""
    os.mkfifo(path)
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK)


def wait_for_hang_up(fifo: int) -> bool:
    poll = select.poll()
    poll.register(fifo, 0)
    return bool(poll.poll(20_000))


def test_a_check_runs_in_the_directory_and_its_status_and_output_are_kept(directory: Path) -> None:
    (directory / "a.txt").touch()
    result = run("ls; echo problem >&2; exit 3", directory)
    assert (result.command, result.exit_status, result.timed_out) == ("ls; echo problem >&2; exit 3", 3, False)
    assert result.output == "a.txt\nproblem\n"
    assert result.seconds > 0


def test_a_check_sees_nothing_of_the_servers_environment(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARM_CHAT_API_KEY", "secret-1")
    monkeypatch.setenv("DATABASE_URL", "secret-2")
    monkeypatch.setenv("LD_PRELOAD_LIKE", "secret-3")
    output = run("env", directory, {"SWARM_STORY": "1.1"}).output
    assert "secret" not in output
    names = {line.partition("=")[0] for line in output.splitlines()}
    shells_own = {"PWD", "OLDPWD", "SHLVL", "_"}
    assert names - shells_own == {"PATH", "HOME", "TMPDIR", "LANG", "PYTHONDONTWRITEBYTECODE", "SWARM_STORY"}


def test_home_is_private_outside_the_directory_and_removed(directory: Path) -> None:
    result = run('touch "$HOME/x" "$TMPDIR/y" && echo "$HOME"', directory)
    home = Path(result.output.strip())
    assert result.exit_status == 0
    assert home.parent == directory.parent
    assert not home.exists()
    assert list(directory.iterdir()) == []


def test_the_given_environment_wins(directory: Path) -> None:
    assert run("echo $LANG", directory, {"LANG": "C"}).output == "C\n"


def test_standard_input_is_empty(directory: Path) -> None:
    assert run("cat; echo end", directory).output == "end\n"


def test_of_a_flood_of_output_the_end_is_kept(directory: Path) -> None:
    result = run("yes | head -c 5000000; echo summary", directory)
    note, _, kept = result.output.partition("\n")
    assert note == f"[{5_000_000 + 8 - (64 << 10)} bytes left out]"
    assert len(kept.encode()) == 64 << 10
    assert kept.endswith("\ny\nsummary\n")


def test_output_that_is_no_text_is_kept_readable(directory: Path) -> None:
    assert run(r"printf 'a\000b\377c\n'", directory).output == "a\ufffdb\ufffdc\n"


def test_a_check_that_closes_its_output_is_waited_for(directory: Path) -> None:
    result = run("exec >&- 2>&-; touch done; exit 4", directory)
    assert (result.exit_status, result.output) == (4, "")
    assert (directory / "done").exists()


def test_a_check_that_takes_too_long_is_killed_and_its_output_kept(directory: Path) -> None:
    result = run("echo started; sleep 1000", directory, timeout_s=0.3)
    assert (result.timed_out, result.exit_status, result.output) == (True, -9, "started\n")


def test_a_check_that_closed_its_output_is_killed_in_time_too(directory: Path) -> None:
    result = run("exec >&- 2>&-; sleep 1000", directory, timeout_s=0.3)
    assert (result.timed_out, result.exit_status) == (True, -9)


def test_a_grandchild_that_outlives_the_check_is_killed_and_does_not_hold_it_up(directory: Path) -> None:
    fifo = open_fifo(directory / "fifo")
    result = run("exec 3>fifo; (trap '' TERM HUP; sleep 1000) & exit 3", directory)
    assert (result.exit_status, result.timed_out) == (3, False)
    assert wait_for_hang_up(fifo)
    os.close(fifo)


def test_grandchildren_are_killed_when_the_time_is_up(directory: Path) -> None:
    fifo = open_fifo(directory / "fifo")
    result = run("exec 3>fifo; sh -c 'sleep 1000 & sleep 1000'; wait", directory, timeout_s=0.3)
    assert result.timed_out
    assert wait_for_hang_up(fifo)
    os.close(fifo)


def test_cancelling_kills_the_check_and_its_children_at_once(directory: Path) -> None:
    fifo = open_fifo(directory / "fifo")
    os.mkfifo(directory / "started")
    cancellation = Cancellation()

    def cancel_when_started() -> None:
        (directory / "started").read_bytes()
        cancellation.cancel("The user cancelled.")

    thread = threading.Thread(target=cancel_when_started)
    thread.start()
    with pytest.raises(Cancelled, match="The user cancelled"):
        run("exec 3>fifo; sleep 1000 & echo > started; wait", directory, cancellation=cancellation)
    thread.join()
    assert wait_for_hang_up(fifo)
    os.close(fifo)
    assert list(directory.parent.iterdir()) == [directory]


def test_nothing_is_started_after_a_cancel(directory: Path) -> None:
    cancellation = Cancellation()
    cancellation.cancel("stop")
    with pytest.raises(Cancelled):
        run("touch ran", directory, cancellation=cancellation)
    assert list(directory.iterdir()) == []
