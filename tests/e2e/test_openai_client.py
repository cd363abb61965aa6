"""The official `openai` package, pointed at this server, works as with OpenAI: plain, streamed, with tools."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.e2e.conftest import USER, Served

TOOL: Any = {
    "type": "function",
    "function": {
        "name": "list_files",
        "description": "List the files.",
        "parameters": {"type": "object", "properties": {"glob": {"type": "string"}}},
    },
}
STORY = "# Story 1.1: Look around\n\nStatus: ready-for-dev\n\n## Tasks\n\n- [ ] Look\n"
HELLO: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def client(served: Served) -> Iterator[openai.OpenAI]:
    token = served.manage("api_token", USER).strip()
    with openai.OpenAI(base_url=f"{served.url}/api", api_key=token, max_retries=0) as client:
        yield client


def test_a_plain_completion_has_text_and_usage(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(model="simulated-developer", messages=HELLO)

    assert "simulator" in str(completion.choices[0].message.content)
    assert completion.usage is not None
    assert completion.usage.total_tokens > 0


def test_a_streamed_completion_arrives_in_pieces_that_make_the_same_text(client: openai.OpenAI) -> None:
    plain = client.chat.completions.create(model="simulated-developer", messages=HELLO)

    stream = client.chat.completions.create(model="simulated-developer", messages=HELLO, stream=True)
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]

    assert len(pieces) > 1
    assert "".join(pieces) == plain.choices[0].message.content


def test_tools_are_called_with_json_arguments(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(
        model="simulated-developer", messages=[{"role": "user", "content": STORY}], tools=[TOOL]
    )

    [call] = completion.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "list_files"
    assert isinstance(json.loads(call.function.arguments), dict)


def test_a_wrong_token_and_another_model_are_the_packages_own_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="swarm_wrong").chat.completions.create(model="simulated-developer", messages=HELLO)
    with pytest.raises(openai.NotFoundError, match="SWARM_CHAT_MODELS"):
        client.chat.completions.create(model="another", messages=HELLO)
