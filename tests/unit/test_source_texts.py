"""Which literals of a source count as texts."""

from typing import Final

from unit.source_texts import Text, texts_in

SOURCE: Final = '''
"""A docstring is no text."""

PATTERN = re.compile("no text [a-z]")
LABEL = "PUBLIC KEY"


def check(one: "Url | None", flag: str) -> "Url | None":
    log.warning("lost: %s", f"{flag} of {len(flag)}")
    raise ValueError(f"must be {one.host}, not {'a name' if flag else 'an address'}")
'''


def test_a_text_of_a_source_is_found_wherever_it_is() -> None:
    """Log lines by their level, and literals in expressions; not what no user sees."""
    assert list(texts_in(SOURCE, "a.py")) == [
        Text("a.py", "warning", "lost: %s"),
        Text("a.py", "", "{flag} of …"),
        Text("a.py", "", "must be {host}, not …"),
        Text("a.py", "", "a name"),
        Text("a.py", "", "an address"),
    ]
