"""The paper as Markdown for pandoc, with all that it could say: to go into a course's own LaTeX or Word template.

Title, authors and abstract are pandoc's metadata. Figures are the study's own, by relative path; tables are pipe
tables; figures, tables and works carry the numbers that the text calls them by, whatever a template counts. What
people or models wrote is escaped, so that it is shown and is no markup.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from bitbudget import files
from bitbudget.publishing.paper.nodes import Node
from bitbudget.publishing.typesetting import bibliography

PICTURES = "paper_pictures"  # the folder of the pictures that are quoted, beside paper.md
MARKUP = re.compile(r"[\\`*_{}\[\]<>#|~^$@!&]|--")
# What would make the beginning of a paragraph a list, a heading, a rule or a definition.
LEADING = re.compile(r"^([-+:%=])|^(\(?\w{1,9})([.)])(?=\s|$)")


@dataclass
class _Numbers:
    """What the text calls figures, tables and works by."""

    labels: dict[str, str]
    entries: Mapping[str, str]
    cited: list[str] = field(default_factory=list)

    def of_work(self, key: str) -> int:
        if key not in self.cited:
            self.cited.append(key)
        return self.cited.index(key) + 1


def written(data: Mapping[str, Any], works: Mapping[str, str]) -> str:
    """The text of paper.md; `data` is that of the template, `works` the entries of the bibliography by their keys."""
    sections = data["sections"]
    numbers = _Numbers(_labels([block for section in sections for block in section["blocks"]]), works)
    head = {"title": escaped(data["title"]), "author": [_author(one) for one in data["authors"]]}
    head["abstract"] = "\n\n".join(_blocks(data["abstract"], numbers))
    # JSON is YAML, and keeps any text within its quotation marks
    parts = ["---", *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items()), "---"]
    parts = ["\n".join(parts), *([f"*{escaped(data['demo'])}*"] if data["demo"] else [])]
    for section in sections:
        parts.append(f"# {escaped(section['title'])}{'' if section['numbered'] else ' {-}'}")
        parts += _blocks(section["blocks"], numbers)
    parts += ["# References {-}", *(f"{n}. {_work(works[key])}" for n, key in enumerate(numbers.cited, start=1))]
    return "\n\n".join(parts) + "\n"


def pictures(data: Mapping[str, Any]) -> dict[str, str]:
    """The pictures that paper.md quotes: their names beside it, and among the paper's assets."""
    blocks = [block for section in data["sections"] for block in section["blocks"] if block["t"] == "examples"]
    return {_place(item["path"]): item["path"] for block in blocks for item in block["items"] if item["path"]}


def escaped(text: str) -> str:
    """A text in one line in which nothing is markup.

    >>> escaped("*a* | [b] -- 1. c"), escaped("1. c")
    ('\\\\*a\\\\* \\\\| \\\\[b\\\\] \\\\-\\\\- 1. c', '1\\\\. c')
    """
    return _begun(MARKUP.sub(lambda found: "".join(f"\\{one}" for one in found[0]), " ".join(text.split())))


def _begun(line: str) -> str:
    return LEADING.sub(lambda found: f"\\{found[1]}" if found[1] else f"{found[2]}\\{found[3]}", line)


def _labels(blocks: Sequence[Node]) -> dict[str, str]:
    """What each table and figure is called, in their order."""
    found: dict[str, str] = {}
    counted = {"Table": 0, "Figure": 0}
    for block in blocks:
        if "label" in block:
            kind = "Table" if block["t"] == "table" else "Figure"
            counted[kind] += 1
            found[block["label"]] = f"{kind} {counted[kind]}"
    return found


def _author(author: Mapping[str, Any]) -> str:
    more = ", ".join(filter(None, (author.get("affiliation"), author.get("email"))))
    return escaped(f"{author['name']} ({more})" if more else author["name"])


def _blocks(blocks: Sequence[Node], numbers: _Numbers) -> Iterator[str]:
    for block in blocks:
        kind = block["t"]
        if kind == "p":
            yield _begun(_inlines(block["c"], numbers))
        elif kind == "h":
            yield f"{'#' * block.get('level', 3)} {_inlines(block['c'], numbers)}"
        elif kind == "list":
            yield _list(block, numbers)
        elif kind == "quote":
            yield _indented("\n\n".join(_blocks(block["c"], numbers)), "> ", "> ")
        elif kind == "code":
            yield _indented(block["text"], "    ", "    ")
        elif kind == "rule":
            yield "---"
        elif kind == "table":
            yield from _table(block, numbers)
        elif kind == "examples":
            yield _caption(block, numbers)
            yield from (_example(item) for item in block["items"])
        else:  # a chart, or pictures with boxes: the study's own figures stand for those that the PDF's template draws
            shown = "".join(f"![{escaped(block['short'])}]({path})\\\n" for path in block["files"])
            yield f"{shown}**{numbers.labels[block['label']]}.** {escaped(block['short'])}"


def _inlines(inlines: Sequence[Node], numbers: _Numbers) -> str:
    found = []
    for one in inlines:
        kind = one["t"]
        if kind in ("s", "whole"):
            found.append(MARKUP.sub(lambda match: "".join(f"\\{sign}" for sign in match[0]), one["text"]))
        elif kind in ("em", "strong"):
            mark = "*" if kind == "em" else "**"
            found.append(f"{mark}{_inlines(one['c'], numbers)}{mark}")
        elif kind == "code":
            ticks = "`" * (1 + max((len(run) for run in re.findall("`+", one["text"])), default=0))
            found.append(f"{ticks} {one['text']} {ticks}")
        elif kind == "link":
            address = re.sub(r"[\s<>]", "", one["url"])
            found.append(f"[{_inlines(one['c'], numbers)}](<{address}>)")
        elif kind == "br":
            found.append("\\\n")
        elif kind == "sup":
            found.append(f"^{escaped(one['text'])}^")
        elif kind == "cite":
            found.append(f"\\[{', '.join(str(numbers.of_work(key)) for key in one['keys'])}\\]")
        elif kind == "ref":
            found.append(numbers.labels[one["to"]])
    return "".join(found)


def _list(block: Node, numbers: _Numbers) -> str:
    lines = []
    for number, item in enumerate(block["items"], start=1):
        mark = f"{number}. " if block["ordered"] else "- "
        lines.append(_indented("\n\n".join(_blocks(item, numbers)), mark, " " * len(mark)))
    return "\n".join(lines)


def _indented(text: str, first: str, others: str) -> str:
    lines = text.split("\n")
    return "\n".join(f"{others if number else first}{line}".rstrip() for number, line in enumerate(lines))


def _caption(block: Node, numbers: _Numbers) -> str:
    return f"**{numbers.labels[block['label']]}.** {_inlines(block['caption'], numbers)}"


def _table(block: Node, numbers: _Numbers) -> Iterator[str]:
    """A caption, a pipe table, and its notes."""

    def cell(inlines: Sequence[Node]) -> str:
        return " ".join(_inlines(inlines, numbers).replace("\\\n", " ").split())

    rows = []
    for row in block["rows"]:
        if "group" in row:
            rows.append([f"*{cell(row['group'])}*", *[""] * (len(block["columns"]) - 1)])
        else:
            rows.append([f"**{cell(one)}**" if row.get("strong") and one else cell(one) for one in row["cells"]])
    titles = [cell(column["title"]) for column in block["columns"]]
    # the lengths of the rules are the widths of the columns, where pandoc has to break lines
    widths = [max(3, *(len(line[at]) for line in [titles, *rows])) for at in range(len(titles))]
    rules = [
        "-" * (width - 1) + (":" if column.get("align") == "right" else "-")
        for width, column in zip(widths, block["columns"], strict=True)
    ]
    yield _caption(block, numbers)
    yield "\n".join(f"| {' | '.join(line)} |" for line in [titles, rules, *rows])
    notes = [_inlines(note, numbers) for note in block.get("notes", ())]
    if notes:
        yield "\\\n".join(notes)


def _example(item: Node) -> str:
    lines = [f"![{escaped(item['alt'])}]({_place(item['path'])})"] if item["path"] else []
    lines += [escaped(item["why"])] if item["why"] else []
    lines += [f"**{item['asked']}:** {escaped(item['question'])}"] if item["question"] else []
    lines += [f"*{item['expected']}:* {escaped(item['references'])}"] if item["references"] else []
    for one in item["answers"]:
        marks = f" ({escaped(one['marks'])})" if one["marks"] else ""
        lines.append(f"**{escaped(one['names'])}:** \N{LEFT DOUBLE QUOTATION MARK}{escaped(one['text'])}"
                     f"\N{RIGHT DOUBLE QUOTATION MARK}{marks}")  # fmt: skip
    return "\\\n".join(lines)


def _place(asset: str) -> str:
    """Where a picture of the paper's assets lies beside paper.md."""
    path = PurePosixPath(asset)
    return f"{PICTURES}/{re.sub(r'[^A-Za-z0-9.-]', '_', '-'.join(path.parts[1:]))}"


def _work(entry: str) -> str:
    return escaped(bibliography.in_words(entry)).replace("\\-\\-", "\N{EN DASH}")


def write(path: Path, data: Mapping[str, Any], works: Mapping[str, str], assets: Mapping[str, Path | bytes]) -> None:
    """Write paper.md and, beside it, the pictures that it quotes; those of an earlier one are removed."""
    folder = path.parent / PICTURES
    for old in folder.iterdir() if folder.is_dir() else ():
        old.unlink()
    for place, asset in pictures(data).items():
        with files.written_whole(path.parent / place) as temporary:
            content = assets[asset]
            temporary.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    with files.written_whole(path) as temporary:
        temporary.write_text(written(data, works), encoding="utf-8")
