"""Runs the benchmarks named on the command line, or all of them, each in a process of its own."""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from os import cpu_count
from pathlib import Path

import django

NAMES = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all if none is given")
    names = parser.parse_args().names or NAMES
    if unknown := [name for name in names if name not in NAMES]:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    machine = f"{cpu_count()} cores, Python {platform.python_version()}, Django {django.get_version()}"
    print(machine, flush=True)
    return max(
        subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}"], check=False).returncode for name in names
    )


if __name__ == "__main__":
    sys.exit(main())
