"""How many tokens a call will use, guessed before it is made and corrected by experience. Pure."""

from __future__ import annotations

CHARACTERS_PER_TOKEN = 4
FIRST_ANSWER_TOKENS = 500
WEIGHT = 0.2


class TokenEstimate:
    """Exponentially weighted means of characters per prompt token and of tokens per answer, for one model."""

    def __init__(self) -> None:
        self.tokens_per_character = 1 / CHARACTERS_PER_TOKEN
        self.answer_tokens = float(FIRST_ANSWER_TOKENS)

    def tokens(self, prompt_characters: int, max_answer_tokens: int | None) -> int:
        """Tokens that a call with such a prompt will probably use, at least 1."""
        answer = self.answer_tokens if max_answer_tokens is None else min(self.answer_tokens, max_answer_tokens)
        return max(1, round(prompt_characters * self.tokens_per_character + answer))

    def learn(self, prompt_characters: int, prompt_tokens: int, answer_tokens: int) -> None:
        """Correct the means by what a call really used."""
        if prompt_characters > 0 and prompt_tokens > 0:
            self.tokens_per_character += WEIGHT * (prompt_tokens / prompt_characters - self.tokens_per_character)
        self.answer_tokens += WEIGHT * (answer_tokens - self.answer_tokens)
