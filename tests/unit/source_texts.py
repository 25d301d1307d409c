"""The texts in the program's sources, as templates.

A text is a string literal of more than one word, wherever it stands, because most messages are put together from
several. Docstrings, annotations and regular expressions are none. `{name}` stands for a name or an attribute, `…` for
any other expression.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_LEVELS: Final = {
    "debug": "debug",
    "info": "info",
    "warning": "warning",
    "error": "error",
    "exception": "error",
    "critical": "critical",
    "log": "as computed",
}
_TYPES: Final = frozenset({"annotation", "returns"})
_PLACEHOLDER: Final = re.compile(r"\{\w+\}|…|%\(\w+\)[-0-9]*[a-z]")
_HEADERS: Final = frozenset({"Basic …", "Bearer …", "Bearer {token}"})


@dataclass(frozen=True, slots=True)
class Text:
    """One text: its module, the level if it is a log line, and the template."""

    module: str
    level: str
    template: str


def texts_below(folder: Path) -> Iterator[Text]:
    """Yield the texts of all modules in a folder, in their order."""
    for file in sorted(folder.rglob("*.py")):
        yield from texts_in(file.read_text(encoding="utf-8"), file.relative_to(folder).as_posix())


def texts_in(source: str, module: str) -> Iterator[Text]:
    """Yield the texts of a module, each once."""
    reader = _Reader()
    reader.visit(ast.parse(source))
    for level, template in dict.fromkeys(reader.found):
        if level or (_is_prose(template) and template not in _HEADERS):
            yield Text(module, level, template)


def _is_prose(template: str) -> bool:
    """Return whether it has words and a space; the labels of PEM blocks are in capitals."""
    words, gaps = _PLACEHOLDER.subn("", template)
    letters = "[A-Za-z]{2}" if gaps else "[a-z]{2}"
    return " " in template.strip() and re.search(letters, words) is not None


@dataclass
class _Reader(ast.NodeVisitor):
    found: list[tuple[str, str]] = field(default_factory=list)

    def generic_visit(self, node: ast.AST) -> None:
        for name, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and name not in _TYPES:
                    self.visit(child)

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.found.append(("", node.value))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self.found.append(("", _template(node)))
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self.visit(part.value)

    def visit_Call(self, node: ast.Call) -> None:
        if not (isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name)):
            self.generic_visit(node)
        elif node.func.value.id in {"log", "_log"} and node.func.attr in _LEVELS:
            text, *values = node.args[1:] if node.func.attr == "log" else node.args
            self.found.append((_LEVELS[node.func.attr], _template(text)))
            for value in values:
                self.visit(value)
        elif (node.func.value.id, node.func.attr) != ("re", "compile"):
            self.generic_visit(node)


def _template(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_template(part) for part in parts)
        case ast.FormattedValue(value=ast.Name(id=name) | ast.Attribute(attr=name)) | ast.Name(id=name):
            return f"{{{name}}}"
    return "…"
