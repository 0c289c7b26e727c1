"""The documents, taken apart for the tests that hold them against the code."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

_MADE = {"build", "captures", "node_modules"}  # folders that are nobody's text
_FENCE = re.compile(r"(?ms)^( *)```(\w*)[^\n]*\n(.*?)^ *```$")
_HEADING = re.compile(r"(?m)^#{1,6} +(.+?) *#*$")
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^()\s>]+(?:\([^()\s]*\))?)>?[^)]*\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the heading that it stands under."""

    language: str
    text: str
    heading: str

    @property
    def commands(self) -> list[str]:
        """The lines of a shell block, without comments, and joined where they go on."""
        lines = re.sub(r"\\\n\s*", "", self.text).splitlines()
        bare = (re.sub(r"(^|\s+)#.*", "", line).strip() for line in lines)
        return [line for line in bare if line]


def documents() -> list[Path]:
    """Every Markdown file of the project, from its root."""
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if not name.startswith((".", "build-")) and name not in _MADE | {"__pycache__"}
        ]
        found += [(Path(folder) / name).relative_to(ROOT) for name in files if name[-3:] == ".md"]
    return sorted(found)


def read(document: Path | str) -> str:
    """A document's text."""
    return (ROOT / document).read_text()


def blocks(document: Path | str, *languages: str) -> Iterator[Block]:
    """The document's fenced blocks in these languages, or all of them."""
    text = read(document)
    for match in _FENCE.finditer(text):
        if not languages or match[2] in languages:
            above = _HEADING.findall(without_blocks(text[: match.start()]))
            inside = re.sub(f"(?m)^{match[1]}", "", match[3])
            yield Block(match[2], inside, above[-1] if above else "")


def without_blocks(text: str) -> str:
    """The text without what is in its blocks."""
    return _FENCE.sub("", text)


def links(document: Path | str) -> list[str]:
    """Where the document's links and images lead."""
    prose = re.sub(r"`[^`\n]*`", "`code`", without_blocks(read(document)))
    return [*_LINK.findall(prose), *re.findall(r'(?:href|src)="([^"]+)"', prose)]


def anchors(document: Path | str) -> set[str]:
    """What may stand behind a # in a link to it, by GitHub's rules."""
    text = without_blocks(read(document))
    found: set[str] = set(re.findall(r'<a (?:id|name)="([^"]+)"', text))
    for heading in _HEADING.findall(text):
        plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip()
        slug = name = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        number = 0
        while name in found:
            number += 1
            name = f"{slug}-{number}"
        found.add(name)
    return found
