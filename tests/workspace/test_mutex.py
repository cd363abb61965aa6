"""One at a time, across threads and processes."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from swarm.cancellation import Cancellation
from swarm.errors import Cancelled
from swarm.workspace.mutex import exclusive

HOLDER = (
    "import sys; from pathlib import Path; from swarm.workspace.mutex import exclusive\n"
    "with exclusive(Path(sys.argv[1]), pause=sys.exit): print('held', flush=True); sys.stdin.read()"
)


def test_threads_take_turns(tmp_path: Path) -> None:
    inside: list[int] = []
    most = []
    cancellation = Cancellation()

    def work(number: int) -> None:
        with exclusive(tmp_path / "lock", pause=lambda: cancellation.wait(0.001)):
            inside.append(number)
            most.append(len(inside))
            cancellation.wait(0.002)
            inside.remove(number)

    threads = [threading.Thread(target=work, args=[number]) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 10


def test_another_process_is_waited_for_until_it_dies_and_a_cancel_ends_the_wait(tmp_path: Path) -> None:
    cancellation = Cancellation()
    pauses: list[int] = []

    def pause() -> None:
        pauses.append(1)
        if len(pauses) == 3:
            cancellation.cancel("stop")
        cancellation.raise_if_cancelled()

    command = [sys.executable, "-c", HOLDER, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Cancelled), exclusive(tmp_path / "lock", pause=pause):
            pass
        holder.kill()
    assert len(pauses) == 3
    with exclusive(tmp_path / "lock", pause=lambda: pytest.fail("a dead process still holds the lock")):
        pass


def test_an_error_in_the_block_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), exclusive(tmp_path / "lock", pause=lambda: None):
        raise ZeroDivisionError
    with exclusive(tmp_path / "lock", pause=lambda: pytest.fail("nobody holds the lock")):
        pass


def test_the_lock_file_may_be_no_link(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to("elsewhere")
    with pytest.raises(OSError, match=r"."), exclusive(tmp_path / "lock", pause=lambda: None):
        pass
    assert not (tmp_path / "elsewhere").exists()
