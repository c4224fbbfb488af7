"""The author's own words: Markdown files of named sections, turned into the nodes that a template shows.

A node is JSON-like. Blocks: `{"t": "p", "c": [inline …]}`, `h` (a heading within the section), `list` (`ordered`,
`items` of blocks), `quote` (`c` of blocks), `code` (`text`), `rule`. Inlines: `s` (`text`), `em`, `strong`, `link`
(`url`), each with `c`, `code` (`text`), `br`, and `cite` (`keys`) for `[@key]` or `[@one; @other]`. HTML is shown as
the text that it is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bitbudget.errors import UserError
from bitbudget.untrusted import foreign_json

Node = dict[str, Any]

SECTIONS = (
    "abstract",
    "introduction",
    "background",
    "methods",
    "results",
    "discussion",
    "limitations",
    "ethics",
    "conclusion",
    "acknowledgements",
)
CITATION = re.compile(r"\[(@[\w:.+/-]*\w(?:\s*;\s*@[\w:.+/-]*\w)*)\]")
WRAPPERS = {"em_open": "em", "strong_open": "strong", "link_open": "link"}


def read_words(folder: Path | None) -> dict[str, list[Node]]:
    """The blocks of every section that the folder has words for; empty without a folder.

    Raises `UserError` for a Markdown file with a name that is no section's.
    """
    if folder is None:
        return {}
    if not folder.is_dir():
        raise UserError(f"the folder {folder} of your own words does not exist; make it or leave report.words out.")
    found = {}
    for path in sorted(folder.glob("*.md")):
        if path.stem.lower() == "readme":
            continue
        if path.stem not in SECTIONS:
            near = difflib.get_close_matches(path.stem.lower(), SECTIONS, 1)
            advice = f"did you mean {near[0]}.md?" if near else f"name it one of {', '.join(SECTIONS)}."
            raise UserError(f"{path} is no section of the paper; {advice}")
        found[path.stem] = parse(foreign_json.read_text(path))
    return found


def parse(text: str) -> list[Node]:
    """The blocks of a Markdown text (CommonMark)."""
    from markdown_it import MarkdownIt

    # links may lead anywhere: they are shown, and it is the reader who follows one
    return _blocks(iter(MarkdownIt("commonmark", {"html": False}).parse(text)))


def cited(nodes: Any) -> Iterator[str]:
    """The keys of all citations in nodes, in their order."""
    if isinstance(nodes, dict):
        if nodes.get("t") == "cite":
            yield from nodes["keys"]
        for value in nodes.values():
            yield from cited(value)
    elif isinstance(nodes, list | tuple):
        for node in nodes:
            yield from cited(node)


def _blocks(tokens: Iterator[Any], end: str | None = None) -> list[Node]:
    """Blocks up to the token that closes what is open."""
    found: list[Node] = []
    for token in tokens:
        if token.type == end:
            break
        if token.type in ("paragraph_open", "heading_open"):
            inline = _inline(next(tokens).children or [])
            next(tokens)  # its close
            found.append({"t": "h" if token.type == "heading_open" else "p", "c": inline})
        elif token.type in ("bullet_list_open", "ordered_list_open"):
            items = []
            for item in tokens:
                if item.type == token.type.replace("open", "close"):
                    break
                items.append(_blocks(tokens, "list_item_close"))
            found.append({"t": "list", "ordered": token.type.startswith("ordered"), "items": items})
        elif token.type == "blockquote_open":
            found.append({"t": "quote", "c": _blocks(tokens, "blockquote_close")})
        elif token.type in ("fence", "code_block"):
            found.append({"t": "code", "text": token.content.rstrip("\n")})
        elif token.type == "hr":
            found.append({"t": "rule"})
    return found


def _inline(tokens: Sequence[Any]) -> list[Node]:
    """The inlines of a paragraph."""
    stack: list[list[Node]] = [[]]
    for token in tokens:
        if token.type in WRAPPERS:
            node: Node = {"t": WRAPPERS[token.type], "c": []}
            if node["t"] == "link":
                node["url"] = str(token.attrGet("href") or "")
            stack[-1].append(node)
            stack.append(node["c"])
        elif token.nesting < 0:
            stack.pop()
        elif token.type == "code_inline":
            stack[-1].append({"t": "code", "text": token.content})
        elif token.type == "hardbreak":
            stack[-1].append({"t": "br"})
        elif token.type == "softbreak":
            stack[-1].append({"t": "s", "text": " "})
        elif token.type == "image":  # a paper's pictures are the study's own: what it says instead is shown
            stack[-1].append({"t": "s", "text": f"[{token.content or 'image'}]"})
        else:
            stack[-1] += _with_citations(token.content)
    return stack[0]


def _with_citations(text: str) -> list[Node]:
    found: list[Node] = []
    at = 0
    for match in CITATION.finditer(text):
        if match.start() > at:
            found.append({"t": "s", "text": text[at : match.start()]})
        found.append({"t": "cite", "keys": [key.strip().removeprefix("@") for key in match[1].split(";")]})
        at = match.end()
    return found + ([{"t": "s", "text": text[at:]}] if at < len(text) else [])
