"""The shell commands of a document, in the order in which a reader meets them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it.token import Token

PROGRAMS = frozenset(
    {"argocd", "bek-operator", "cosign", "curl", "docker", "flux", "git", "kubectl", "openssl", "sops"}
)
SHELLS = frozenset({"sh", "bash", "shell"})
PROMPT = "$ "


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a reader runs at once.

    Attributes:
        section: The heading above it.
        commands: Each may have several lines.
        shown: The output that the page shows below it.
    """

    section: str
    commands: tuple[str, ...]
    shown: str | None = None


def steps(text: str) -> Iterator[Step]:
    """Yield the commands of a page in Markdown.

    They are in indented blocks, in fences that name a shell, in `console` fences behind a prompt, and in the text as
    code that names a program, a command of it and what that is for. `kubectl wait` alone is only talked about.
    """
    section = heading = ""
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "inline":
            if heading:
                section = token.content
            yield from (Step(section=section, commands=(code,)) for code in _inline(token) if _is_command(code))
        elif token.type == "code_block" or (token.type == "fence" and token.info in SHELLS):
            yield Step(section=section, commands=tuple(_commands(token.content)))
        elif token.type == "fence" and token.info == "console":
            yield from _dialogue(section, token.content)
        heading = token.type if token.type == "heading_open" else ""


def fences(text: str, info: str) -> list[str]:
    """Return the contents of the fences with an info such as `yaml`."""
    tokens = MarkdownIt("commonmark").parse(text)
    return [token.content for token in tokens if token.type == "fence" and token.info == info]


def table(output: str) -> list[list[str]]:
    """Return what kubectl prints in cells, with words instead of ages and of the beginnings of fingerprints."""
    text = re.sub(r"\b(\d+[dhms])+\b", "AGE", re.sub(r"\b[0-9a-f]{12}\b", "KEY", output))
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]


def _inline(token: Token) -> Iterator[str]:
    return (child.content for child in token.children or () if child.type == "code_inline")


def _is_command(code: str) -> bool:
    program, *words = code.split()
    return program in PROGRAMS and len([word for word in words if not word.startswith("-")]) > 1


def _dialogue(section: str, text: str) -> Iterator[Step]:
    for part in re.split(rf"^{re.escape(PROMPT)}", text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield Step(section=section, commands=(command,), shown=shown)


def _commands(script: str) -> Iterator[str]:
    lines: list[str] = []
    for line in script.splitlines():
        lines.append(line)
        if _is_complete("\n".join(lines)):
            yield "\n".join(lines)
            lines.clear()
    if lines:
        raise ValueError(f"a command without an end: {lines}")


def _is_complete(command: str) -> bool:
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return False
    return not command.endswith("\\")
