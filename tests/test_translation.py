"""README.zh-CN.md says what README.md says: the same commands, figures, names and links, section by section."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
NUMBER = re.compile(r"[−-]?\d+(?:,\d{3})*(?:\.\d+)?")
COMMENT = re.compile(r"(?:^|\s+)# .*$", re.MULTILINE)


class Section(NamedTuple):
    """What both languages have in common of a part of the page."""

    level: int
    commands: list[str]  # of fenced blocks, without comments
    tables: list[list[list[str]]]  # numbers and names in code of every row
    prose: list[str]  # numbers and names in code, in any order
    links: list[str]


def sections(path: Path) -> list[Section]:
    """From heading to heading."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"^\[(?:中文|English)\]\(README[\w.-]*\)$", "", text, flags=re.MULTILINE)
    fences = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    blocks = fences.findall(text)
    marked = fences.sub("\x00", text)
    heads = list(re.finditer(r"^(#+) .*$", marked, re.MULTILINE))
    ends = [*(head.start() for head in heads[1:]), len(marked)]
    out, taken = [], 0
    for head, end in zip(heads, ends, strict=True):
        part = marked[head.end() : end]
        mine = blocks[taken : taken + part.count("\x00")]
        taken += len(mine)
        tables = re.findall(r"(?:^\|.*\n)+", part, re.MULTILINE)
        prose = re.sub(r"^\|.*\n", "", part, flags=re.MULTILINE)
        links = re.findall(r"\]\(([^)]+)\)", part)
        words = re.sub(r"\]\([^)]+\)", "]", prose)
        out.append(
            Section(
                level=len(head[1]),
                commands=[command_of(language, body) for language, body in mine],
                tables=[[common(line) for line in table.splitlines()] for table in tables],
                prose=sorted(common(words)),
                links=sorted(links),
            )
        )
    return out


def command_of(language: str, body: str) -> str:
    """A fenced block without what is said about it: comments, or the text behind a path."""
    if language == "text":
        return "\n".join(line.split()[0] for line in body.splitlines())
    return "\n".join(line.rstrip() for line in COMMENT.sub("", body).splitlines())


def common(text: str) -> list[str]:
    """Names in code and numbers outside of it, which no translation changes."""
    return re.findall(r"`[^`\n]+`", text) + NUMBER.findall(re.sub(r"`[^`\n]+`", "", text))


def test_both_pages_lead_to_each_other() -> None:
    assert "(README.zh-CN.md)" in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[2]
    assert "(README.md)" in (ROOT / "README.zh-CN.md").read_text(encoding="utf-8").splitlines()[2]


def test_commands_figures_names_and_links_are_the_same_section_by_section() -> None:
    english, chinese = sections(ROOT / "README.md"), sections(ROOT / "README.zh-CN.md")
    assert [s.level for s in english] == [s.level for s in chinese]
    for i, (ours, theirs) in enumerate(zip(english, chinese, strict=True)):
        for name in Section._fields:
            assert getattr(theirs, name) == getattr(ours, name), f"section {i}, {name}"
    assert sum(len(s.commands) for s in english) >= 4
    assert sum(len(s.tables) for s in english) >= 3


@pytest.mark.parametrize(
    ("of", "change"),
    [
        pytest.param(r"^greenhop train .*?\d", "0", id="a command"),
        pytest.param(r"^\| `[^|]*\|[^|]*?\d", "0", id="a figure in a table"),
        pytest.param(r"^[^|`\n]*?\d", "0", id="a figure in a sentence"),
        pytest.param(r"^[^|`\n]+`\w", "x", id="a name in code"),
        pytest.param(r"\]\(docs/\w", "x", id="a link"),
    ],
)
def test_a_translation_that_says_something_else_is_noticed(of: str, change: str, tmp_path: Path) -> None:
    text = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
    found = re.search(of, text, re.MULTILINE)
    assert found is not None
    (tmp_path / "README.md").write_text(text[: found.end()] + change + text[found.end() :], encoding="utf-8")
    assert sections(tmp_path / "README.md") != sections(ROOT / "README.md")


def test_links_of_the_chinese_page_lead_to_files() -> None:
    for section in sections(ROOT / "README.zh-CN.md"):
        for link in section.links:
            assert link.startswith("http") or (ROOT / link.partition("#")[0]).is_file(), link
