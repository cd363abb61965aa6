"""How soon fifty nodes can read a repository of 3,000 files, beside fifty `git worktree add`, in the same run.

A node opens the repository, takes a snapshot of its branch, lists it as its prompt does, and reads a file. And
what one read costs by pygit2, by one long-lived `git cat-file --batch`, and by dulwich where that is installed.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

import pygit2

from swarm.workspace.repository import Repository
from swarm.workspace.snapshot import Snapshot

NODES = 50
FILES = 3_000
REPEATS = 20
BRANCH = "swarm/benchmark"


@dataclass
class Run:
    """Fifty at once: seconds to each one's first read, seconds in all, and what failed."""

    first_reads_s: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    total_s: float = 0.0


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="swarm-snapshots-") as directory:
        root = _make_repository(Path(directory) / "repository")
        paths = sorted(path for path, _ in Repository.open(root).entries(_head(root)))
        _snapshot(root, paths[0])  # load what is loaded once
        print(f"{NODES} at once, {FILES} files, git {_git_version()}, libgit2 {pygit2.LIBGIT2_VERSION}")
        ours = [_at_once(lambda n: _snapshot(root, paths[n])) for _ in range(REPEATS)]
        _compare_reads(root, paths)
        print(f"{'':<28} {'first read p50':>14} {'last':>10} {'total':>10} {'failed':>8}")
        _show(f"snapshots, {REPEATS} times", ours)
        theirs = []
        for name, how in (("worktrees at once", _at_once), ("worktrees one by one", _one_by_one)):
            theirs.append(_add_worktrees(root, Path(directory) / "trees", paths, how))
            _show(name, theirs[-1:])
    failed = sum(len(run.errors) for run in ours)
    ratio = min(run.total_s for run in theirs) / median(run.total_s for run in ours)
    print(f"worktrees ÷ snapshots, in all: {ratio:.0f}")
    is_good = failed == 0 and ratio > 1
    print("goals met" if is_good else "GOALS MISSED: no error in 20 repeats, and faster than worktrees")
    return 0 if is_good else 1


def _make_repository(root: Path) -> Path:
    """3,000 files of 1 to 4 KiB in 60 folders, packed as a clone's are."""
    git = pygit2.init_repository(str(root), initial_head="main")
    chance = random.Random(1)
    for number in range(FILES):
        lines = (f"value_{chance.getrandbits(64):016x} = {chance.random()}\n" for _ in range(chance.randint(25, 100)))
        blob = git.create_blob("".join(lines).encode())
        git.index.add(pygit2.IndexEntry(f"src/part{number % 60:02}/file{number}.py", blob, pygit2.enums.FileMode.BLOB))
    who = pygit2.Signature("User", "user@example.invalid")
    commit = git.create_commit("refs/heads/main", who, who, "Start", git.index.write_tree(), [])
    git.create_reference(f"refs/heads/{BRANCH}", commit)
    git.free()
    _git(root, "gc", "--quiet")
    _git(root, "reset", "--hard", "--quiet")
    return root


def _snapshot(root: Path, path: str) -> None:
    repository = Repository.open(root)
    snapshot = Snapshot(repository, repository.branch_head(BRANCH))
    assert len(snapshot.list_files()) == FILES
    assert snapshot.read(path)


def _add_worktrees(root: Path, trees: Path, paths: list[str], how: Callable[[Callable[[int], None]], Run]) -> Run:
    def add(number: int) -> None:
        tree = trees / str(number)
        _git(root, "worktree", "add", "--quiet", "--detach", str(tree), BRANCH)
        assert (tree / paths[number]).read_text()

    run = how(add)
    subprocess.run(["rm", "-rf", str(trees)], check=True)
    _git(root, "worktree", "prune")
    return run


def _at_once(work: Callable[[int], None]) -> Run:
    """Do `work` in fifty threads that start together."""
    run = Run()
    everybody_is_here = threading.Barrier(NODES + 1)

    def act(number: int) -> None:
        everybody_is_here.wait()
        _do(run, work, number, started_s)

    threads = [threading.Thread(target=act, args=[number]) for number in range(NODES)]
    for thread in threads:
        thread.start()
    started_s = time.perf_counter()
    everybody_is_here.wait()
    for thread in threads:
        thread.join()
    run.total_s = time.perf_counter() - started_s
    return run


def _one_by_one(work: Callable[[int], None]) -> Run:
    run = Run()
    started_s = time.perf_counter()
    for number in range(NODES):
        _do(run, work, number, started_s)
    run.total_s = time.perf_counter() - started_s
    return run


def _do(run: Run, work: Callable[[int], None], number: int, started_s: float) -> None:
    try:
        work(number)
    except Exception as error:
        # Whatever goes wrong is counted and shown: that is what is measured here.
        run.errors.append(repr(error))
    else:
        run.first_reads_s.append(time.perf_counter() - started_s)


def _show(name: str, runs: list[Run]) -> None:
    reads = [seconds for run in runs for seconds in run.first_reads_s]
    errors = [error for run in runs for error in run.errors]
    print(
        f"{name:<28} {median(reads) * 1000:>11.0f} ms {max(reads) * 1000:>7.0f} ms "
        f"{median(run.total_s for run in runs) * 1000:>7.0f} ms {len(errors):>3} of {len(runs) * NODES}",
        flush=True,
    )
    if errors:
        print(f"  such as: {errors[0][:200]}")


def _compare_reads(root: Path, paths: list[str]) -> None:
    """What it costs to read all files by name, one after another, the program's or library's start included.

    The best of five runs, by the clock and in processor time of this process and its children.
    """
    paths = random.Random(2).sample(paths, len(paths))
    print(f"{'a read of all files, by name':<28} {'clock':>10} {'processor':>10}")
    ways = {"pygit2": _read_pygit2, "git cat-file --batch": _read_cat_file, "dulwich": _read_dulwich}
    for name, read_all in ways.items():
        try:
            costs = [_costs(partial(read_all, root, paths)) for _ in range(5)]
        except ImportError:
            print(f"{name:<28} {'not there':>10}")
            continue
        clock_s, processor_s = (min(kind) / len(paths) for kind in zip(*costs, strict=True))
        print(f"{name:<28} {clock_s * 1e6:>7.0f} µs {processor_s * 1e6:>7.0f} µs", flush=True)


def _costs(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds by the clock and of processor time."""
    before = os.times()
    work()
    after = os.times()
    return after.elapsed - before.elapsed, sum(after[:4]) - sum(before[:4])


def _read_pygit2(root: Path, paths: list[str]) -> None:
    repository = Repository.open(root)
    head = repository.branch_head(BRANCH)
    for path in paths:
        assert repository.read_file(head, path)


def _read_cat_file(root: Path, paths: list[str]) -> None:
    command = ["git", "cat-file", "--batch"]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for path in paths:
            process.stdin.write(f"{BRANCH}:{path}\n".encode())
            process.stdin.flush()
            size_bytes = int(process.stdout.readline().split()[2])
            assert len(process.stdout.read(size_bytes + 1)) == size_bytes + 1
        process.stdin.close()


def _read_dulwich(root: Path, paths: list[str]) -> None:
    from dulwich.object_store import tree_lookup_path
    from dulwich.repo import Repo

    with Repo(str(root)) as repo:
        tree = repo[repo.refs[f"refs/heads/{BRANCH}".encode()]].tree
        for path in paths:
            _, blob = tree_lookup_path(repo.__getitem__, tree, path.encode())
            assert repo[blob].data


def _head(root: Path) -> str:
    return Repository.open(root).head_commit()


def _git_version() -> str:
    return subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]


def _git(root: Path, *arguments: str) -> None:
    environment = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(["git", *arguments], cwd=root, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip() or f"git {arguments[0]} ended with {done.returncode}")


if __name__ == "__main__":
    sys.exit(main())
