"""The import rule of the design: packages import downwards only, at module level only, and the core stays pure."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

LEVELS: list[set[str]] = [
    {
        "swarm.errors",
        "swarm.cancellation",
        "swarm.stories",
        "swarm.chat.errors",
        "swarm.chat.limiter",
        "swarm.locks.deadlock",
        "swarm.locks.errors",
        "swarm.workspace.errors",
        "swarm.workspace.paths",
    },
    {"swarm.models", "swarm.events"},
    {"swarm.locks", "swarm.workspace", "swarm.chat"},
    {"swarm.engine", "swarm.simulator"},
    {"swarm.api", "swarm.web", "swarm.management", "swarm.admin", "swarm.checks"},
    {"swarm.apps"},
]
"""The units of `swarm`, lowest level first; a module belongs to the longest name that it starts with."""

PART_OF = {"swarm.templatetags": "swarm.web", "swarm.migrations": "swarm.models"}
"""Folders whose place Django prescribes."""

MAY_IMPORT_EACH_OTHER = {0, 1}
"""Levels within which units may import each other, as long as they form no circle."""

ON_ITS_OWN = {"swarm.simulator": {"swarm.errors"}}
"""Units that import nothing of `swarm` but what is named here."""

LIBRARIES_OF_THE_CORE = {"re2", "ruamel", "watchfiles"}
"""What level 0 may import besides the standard library: libraries that parse or watch files."""

READS_SETTINGS = {"swarm.checks"}
"""What may import `swarmsite`; everybody else reads settings through Django."""

IMPORTS_LATE = {"swarm.apps"}
"""What may import inside a function: Django calls `ready` once all models are there."""


def unit_of(module: str) -> str:
    """The unit that `module` belongs to. Raises `LookupError` for a module that the levels forgot."""
    for folder, unit in PART_OF.items():
        if f"{module}.".startswith(f"{folder}."):
            return unit
    units = [unit for level in LEVELS for unit in level if f"{module}.".startswith(f"{unit}.")]
    if not units:
        raise LookupError(f"{module} has no level; give it one in {__name__}.LEVELS")
    return max(units, key=len)


def level_of(unit: str) -> int:
    return next(number for number, level in enumerate(LEVELS) if unit in level)


def imports(source: str, module: str) -> Iterator[tuple[str, bool]]:
    """The names that `source` imports, and whether it does so inside a function; relative names are refused."""
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    late = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports by a relative name"
            # `from swarm import checks` imports a module, `from swarm.errors import Cancelled` a name of one.
            names = [f"{node.module}.{alias.name}" if node.module == "swarm" else node.module for alias in node.names]
            yield from ((str(name), id(node) in late) for name in names)


def violations(sources: Mapping[str, str]) -> list[str]:
    """What breaks the rule in `sources`, from module names to their texts."""
    found = []
    sideways: dict[str, set[str]] = defaultdict(set)
    for module, source in sources.items():
        if module == "swarm":
            assert not source.strip(), "swarm/__init__.py is to be empty"
            continue
        for name, is_late in imports(source, module):
            if is_late and module not in IMPORTS_LATE:
                found.append(f"{module} imports {name} inside a function")
            if problem := _problem(module, name):
                found.append(f"{module} imports {name}: {problem}")
            elif name.startswith("swarm."):
                sideways[unit_of(module)].add(unit_of(name))
    for unit in sideways:
        sideways[unit].discard(unit)
    try:
        TopologicalSorter(sideways).prepare()
    except CycleError as error:
        found.append(f"a circle: {' → '.join(error.args[1])}")
    return found


def _problem(module: str, name: str) -> str | None:
    unit, level = unit_of(module), level_of(unit_of(module))
    top = name.partition(".")[0]
    if top == "swarmsite" and module not in READS_SETTINGS:
        return "settings are read through django.conf"
    if top != "swarm":
        is_pure = top in sys.stdlib_module_names or top in LIBRARIES_OF_THE_CORE
        return "the core is pure" if level == 0 and not is_pure else None
    other, other_level = unit_of(name), level_of(unit_of(name))
    if unit in ON_ITS_OWN and other not in ON_ITS_OWN[unit] | {unit}:
        return "it stands on its own"
    if other_level > level:
        return f"from level {level} up to level {other_level}"
    if other_level == level and other != unit and level not in MAY_IMPORT_EACH_OTHER:
        return f"units of level {level} do not import each other"
    return None


def all_sources(root: Path) -> dict[str, str]:
    """Every module under `swarm/`, but not the demo's workspace, which is data."""
    sources = {}
    for path in sorted((root / "swarm").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if "demo_workspace" not in parts:
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            sources[module] = path.read_text(encoding="utf-8")
    return sources


def test_every_module_of_swarm_keeps_the_import_rule(repository_root: Path) -> None:
    sources = all_sources(repository_root)
    assert len(sources) > 50
    assert violations(sources) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("swarm.stories.reader", "import re\nimport ruamel.yaml\nfrom swarm.errors import SwarmError"),
        ("swarm.events.record", "from django.db import transaction\nfrom swarm.models import Event"),
        ("swarm.locks.claims", "from swarm.workspace.paths import lock_key\nfrom swarm.locks.deadlock import find"),
        ("swarm.engine.tools", "import pydantic\nfrom swarm.locks.claims import claim_paths"),
        ("swarm.simulator.server", "from swarm.errors import SwarmError\nfrom swarm.simulator.desk import Desk"),
        ("swarm.templatetags.pages", "from swarm.web.sentences import tell"),
        ("swarm.management.commands.demo", "from swarm.simulator.server import Server"),
        ("swarm.apps", "def ready():\n    from django.conf import settings"),
        ("swarm.checks", "from swarmsite.settings import environment"),
    ],
)
def test_an_import_downwards_or_within_the_folder_is_fine(module: str, source: str) -> None:
    assert violations({module: source}) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("swarm.models.node", "from swarm.locks.claims import claim_paths"),
        ("swarm.models.node", "import swarm.engine.report"),
        ("swarm.locks.claims", "from swarm.workspace.snapshot import Snapshot"),
        ("swarm.chat.gateway", "from swarm.engine import lifecycle"),
        ("swarm.web.pages", "from swarm.api import views"),
        ("swarm.api.views", "from swarm import web"),
        ("swarm.templatetags.pages", "from swarm.api.views import root"),
        ("swarm.engine.tools", "from swarm.simulator.server import Server"),
        ("swarm.simulator.server", "from swarm.chat.limiter import Limiter"),
        ("swarm.stories.reader", "import django"),
        ("swarm.chat.limiter.core", "from django.conf import settings"),
        ("swarm.locks.deadlock", "import structlog"),
        ("swarm.stories.reader", "from swarm.models import Node"),
        ("swarm.engine.work", "from swarmsite.settings import environment"),
        ("swarm.engine.work", "def work():\n    import json"),
        ("swarm.engine.work", "class Work:\n  async def go(self):\n    if True:\n      from swarm import errors"),
        ("swarm.engine.work", "if TYPE_CHECKING:\n    from swarm.web.pages import Page"),
    ],
)
def test_an_import_that_breaks_the_rule_is_found(module: str, source: str) -> None:
    assert len(violations({module: source})) == 1


@pytest.mark.parametrize(
    "sources",
    [
        {"swarm.models.node": "import swarm.events.record", "swarm.events.record": "import swarm.models"},
        {"swarm.stories.story": "import swarm.workspace.paths", "swarm.workspace.paths": "import swarm.stories.tasks"},
    ],
    ids=["models and events", "the core"],
)
def test_units_of_one_level_that_import_each_other_are_found(sources: dict[str, str]) -> None:
    [circle] = violations(sources)
    assert circle.startswith("a circle: ")


def test_a_module_without_a_level_is_found() -> None:
    with pytest.raises(LookupError, match=r"swarm\.novelty\.core has no level"):
        violations({"swarm.novelty.core": "import json"})


def test_a_relative_import_is_refused() -> None:
    with pytest.raises(AssertionError, match="relative"):
        violations({"swarm.engine.work": "from .errors import NodeTimedOut"})
