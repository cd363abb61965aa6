"""Run Larder's tests, and the acceptance tests of one story (SWARM_STORY=1.2) or of all stories (--all)."""

import os
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def acceptance_pattern(arguments: list[str]) -> str:
    """The name, or pattern of names, of the acceptance tests to run; "" for none."""
    if "--all" in arguments:
        return "test_*.py"
    story = os.environ.get("SWARM_STORY", "")
    return f"test_{story.replace('.', '_')}.py" if story else ""


def main(arguments: list[str]) -> int:
    # Whatever is checked here is to be left as it was.
    sys.dont_write_bytecode = True
    os.chdir(ROOT)
    loader = unittest.TestLoader()
    suite = unittest.TestSuite([loader.discover("tests", top_level_dir=str(ROOT))])
    if pattern := acceptance_pattern(arguments):
        suite.addTests(loader.discover("acceptance", pattern=pattern, top_level_dir=str(ROOT)))
    result = unittest.TextTestRunner(stream=sys.stdout).run(suite)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
