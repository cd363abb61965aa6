"""The words that a developer node is sent: rules, story and the workspace's outline."""

from __future__ import annotations

from collections.abc import Sequence

OUTLINE_LIMIT = 400
"""How many of the workspace's paths the first message lists."""

RULES = """\
You are one of several developers who work at the same time on one git repository, each on a story of their own.
Implement your story completely: satisfy every acceptance criterion and do every task.

How to work
- Use the tools; nothing you say outside them has any effect. Several tool calls in one message are welcome.
- Read before you edit. Prefer edit_file with a short, unique old_text; use write_file for new files.
- The first write to a path claims it for your story until the story ends. If another developer holds it, your call
  waits, or is answered at once with who holds it: then go on with something else and try again later.
- If a call is answered with "Error: file_changed", another story has changed that file meanwhile: read it again and
  repeat your edit on the new version. Keep what the other story wrote.
- Change only what the story needs. The story file and sprint-status.yaml are updated for you.
- Call complete_task for each task as you complete it, run_checks to see whether the checks pass, and finish with a
  short summary when everything is done. finish is refused while tasks are open or checks fail; mend and call it again.
- An answer that starts with "Error:" says what to do next.
"""


def first_message(*, story_path: str, story_text: str, paths: Sequence[str], lessons: Sequence[str]) -> str:
    """What opens a conversation, below the rules; `lessons` tell why earlier attempts failed."""
    outline = "\n".join(paths[:OUTLINE_LIMIT])
    if len(paths) > OUTLINE_LIMIT:
        outline += f"\n… and {len(paths) - OUTLINE_LIMIT} more; use list_files"
    parts = [
        f"Your story is {story_path}:\n\n<story>\n{story_text}\n</story>",
        f"The workspace holds {len(paths)} files:\n\n{outline}",
    ]
    if lessons:
        parts.append(
            "Earlier attempts at this story. Nothing is left of those that failed:\n"
            + "\n".join(f"- {it}" for it in lessons)
        )
    return "\n\n".join(parts)


def resumption(lessons: Sequence[str]) -> str:
    """What is said where a conversation goes on that had come to an end."""
    return "\n".join(["The attempt had ended here; go on from here.", *lessons[-1:]])


NUDGE = "You called no tool, so nothing happened. Go on with the tools; when every task is done, call finish."
