"""The parts a story file is made of, and the names people give to their headings.

Headings drift: numbered, with an emoji, in another language, with a remark in brackets. This module says which part a
heading begins; it knows nothing of what stands below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto


class Part(Enum):
    """What a section of a story file is about."""

    STATUS = auto()
    DETAILS = auto()
    STORY = auto()
    INTENT = auto()
    CRITERIA = auto()
    TASKS = auto()
    TASKS_AND_ACCEPTANCE = auto()
    DEV_NOTES = auto()
    FILES = auto()
    CODE_MAP = auto()
    DEPENDENCIES = auto()
    VERIFICATION = auto()
    RECORD = auto()
    AGENT_MODEL = auto()
    COMPLETION_NOTES = auto()
    FILE_LIST = auto()
    CHANGE_LOG = auto()
    REVIEW = auto()


# English names come first; French, German, Spanish, Portuguese, Italian and Chinese follow where seen.
_NAMES: dict[Part, str] = {
    Part.STATUS: "status, story status, current status, statut, estado, stato, 状态",
    Part.DETAILS: "story details, story metadata, story info, story information, metadata, details, story header",
    Part.STORY: (
        "story, user story, story statement, story description, story overview, histoire, récit, récit utilisateur, "
        "user stories, benutzergeschichte, historia, historia de usuario, história, história de usuário, storia, "
        "storia utente, 用户故事, 故事"
    ),
    Part.INTENT: "intent, absicht, intention, 意图",
    Part.CRITERIA: (
        "acceptance criteria, acceptance criterion, acceptance, acs, ac, acceptance criteria acs, success criteria, "
        "critères d'acceptation, akzeptanzkriterien, criterios de aceptación, critérios de aceitação, "
        "criteri di accettazione, 验收标准"
    ),
    Part.TASKS: (
        "tasks/subtasks, tasks, subtasks, task list, tasks and subtasks, tasks/subtasks breakdown, task breakdown, "
        "tasklist, checkbox tasklist, implementation tasks, development tasks, dev tasks, tâches, tâches/sous-tâches, "
        "aufgaben, aufgaben/unteraufgaben, tareas, tareas/subtareas, tarefas, tarefas/subtarefas, attività, 任务, "
        "任务/子任务"
    ),
    Part.TASKS_AND_ACCEPTANCE: "tasks and acceptance",
    Part.DEV_NOTES: (
        "dev notes, developer notes, development notes, dev technical guidance, technical notes, design notes, "
        "implementation notes, notes de développement, entwicklernotizen, notas de desarrollo, "
        "notas de desenvolvimento, note di sviluppo, 开发说明, 开发笔记"
    ),
    Part.FILES: (
        "files to create, files to modify, files to change, files to touch, files to create/modify, "
        "files to modify/create, files to create and modify, files affected, affected files, file locations, "
        "file structure, project structure notes, project structure, source tree, source tree components to touch, "
        "relevant source tree, relevant files, key files, file structure requirements"
    ),
    Part.CODE_MAP: "code map",
    Part.DEPENDENCIES: (
        "dependencies, story dependencies, depends on, prerequisites, prerequisite stories, blocked by, dépendances, "
        "abhängigkeiten, dependencias, dependências, dipendenze, 依赖"
    ),
    Part.VERIFICATION: "verification, verification commands",
    Part.RECORD: "dev agent record, developer agent record, story progress notes, story dev notes",
    Part.AGENT_MODEL: "agent model used, agent model",
    Part.COMPLETION_NOTES: "completion notes list, completion notes, completion notes and list",
    Part.FILE_LIST: "file list, files modified, files changed, modified files, changed files",
    Part.CHANGE_LOG: "change log, changelog, spec change log, story change log, journal des modifications, 变更日志",
    Part.REVIEW: (
        "qa results, qa result, qa review, qa notes, qa checklist, review, code review, review findings, "
        "review follow-ups, review follow-up, review triage log, senior developer review, "
        "senior developer review notes, senior dev review, review notes, code review findings, "
        "code review follow-ups, action items, definition of done, definition of done checklist, dod checklist, "
        "story dod checklist, story definition of done checklist, improvements checklist"
    ),
}

_PARTS = {name: part for part, names in _NAMES.items() for name in names.split(", ")}

_NUMBERING = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){0,3}[.)]?\s+")
_SPACES = re.compile(r"\s+")
_KEPT = frozenset(" /&'-.")


def split_label(text: str) -> tuple[str, str]:
    """Cut a heading or line at its first colon: ("Status", "Draft"); the second is empty where there is no colon."""
    for position, character in enumerate(text):
        if character in ":：":
            return text[:position].strip(), text[position + 1 :].strip()
    return text.strip(), ""


def plain_name(heading: str) -> str:
    """A heading's name for comparing: no emphasis, emoji, numbering, remark in brackets, or what follows a colon."""
    name = split_label(heading)[0].split("(", 1)[0]
    name = "".join(_kept_characters(name)).strip(" -./&")
    name = _NUMBERING.sub("", name, count=1) if name[:1].isdigit() else name
    name = _SPACES.sub(" ", name.replace("&", " and ")).casefold()
    return name.replace(" /", "/").replace("/ ", "/").strip()


def part_of(heading: str) -> Part | None:
    """Which part a heading begins, or None for one that means nothing to the method."""
    return _PARTS.get(plain_name(heading))


def _kept_characters(name: str) -> Iterator[str]:
    for character in name:
        if character.isalnum() or character in _KEPT:
            yield character
        elif character.isspace():
            yield " "
        elif character == "’":
            yield "'"
