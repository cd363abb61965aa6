"""Turns text that anybody may have written into HTML that can do no harm.

Raw HTML stays text, links lead to http and https only, images are named instead of loaded, and nh3 lets through no tag
or attribute that is not listed here. Rendering hostile text takes more than linear time (8.8 s for 512 KiB), so no page
renders more than `MAX_RENDERED_BYTES` of either kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import nh3
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

MAX_RENDERED_BYTES = 64 * 1024
_COST_OF_A_TEXT = 64
"""Bytes that each short text counts more than it has: rendering even an empty one takes a while."""

_INLINE_TAGS = {"a", "br", "code", "em", "strong"}
_TAGS = _INLINE_TAGS | {
    "blockquote", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "ul",
    "table", "tbody", "td", "th", "thead", "tr",
}  # fmt: skip
_ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}}
_SCHEMES = {"http", "https"}


class _Parser(MarkdownIt):
    """CommonMark with tables; made anew for each use, for it finishes its rules when it first runs, in any thread."""

    def __init__(self) -> None:
        super().__init__("commonmark", {"html": False})
        self.enable("table")
        self.add_render_rule("image", _name_image)

    def validateLink(self, url: str) -> bool:  # noqa: N802  markdown-it's name
        return url.lower().startswith(tuple(f"{scheme}://" for scheme in _SCHEMES))


def render_block(text: str) -> tuple[SafeString, bool]:
    """The HTML of a whole text below a page's second heading, and whether it was cut at `MAX_RENDERED_BYTES`."""
    data = text.encode(errors="replace")
    is_cut = len(data) > MAX_RENDERED_BYTES
    parser = _Parser()
    tokens = parser.parse(data[:MAX_RENDERED_BYTES].decode(errors="ignore"))
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"
    return _cleaned(parser.renderer.render(tokens, parser.options, {}), _TAGS), is_cut


class InlineMarkdown:
    """Renders the emphasis, code and links in the short texts of one page, until these are too many."""

    def __init__(self) -> None:
        self._parser = _Parser()
        self._left = MAX_RENDERED_BYTES

    def render(self, text: str) -> SafeString:
        """The HTML of a text within a line; what is beyond the limit is shown as written."""
        data = text.encode(errors="replace")
        self._left -= len(data) + _COST_OF_A_TEXT
        return _cleaned(self._parser.renderInline(data.decode()), _INLINE_TAGS) if self._left >= 0 else escape(text)


def _cleaned(html: str, tags: set[str]) -> SafeString:
    clean = nh3.clean(
        html, tags=tags, attributes=_ATTRIBUTES, url_schemes=_SCHEMES, link_rel="noopener noreferrer nofollow"
    )
    return mark_safe(clean)  # noqa: S308  nh3 leaves only what is listed above


def _name_image(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    """An image as its text: loading it would tell its server who reads the story."""
    return f"<em>[image: {escape(renderer.renderInlineAsText(tokens[index].children, options, env))}]</em>"
