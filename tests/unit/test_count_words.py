"""``1 wait``, ``2 waits``: wherever a number stands before a word, the word goes by the number."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import waitctl
from waitctl.domain.counts import CAP, number_of, some_of

PACKAGE = Path(waitctl.__file__).parent

THINGS = (
    "attempts|calendars|deliveries|events|files|groups|handlers|lines|listeners|occurrences|payloads|plans|rows|runs|"
    "sources|templates|things|times|transitions|types|waits|webhooks|expire|dead deliveries|held deliveries|open waits"
)
BEFORE_THINGS = re.compile(rf"^\+? ({THINGS})\b")


def test_words_go_by_their_numbers() -> None:
    assert [number_of(number, "wait") for number in (0, 1, 2, 1000)] == ["0 waits", "1 wait", "2 waits", "1,000 waits"]
    assert [some_of(number, "delivery", "deliveries") for number in (1, CAP, CAP + 1)] == [
        "1 delivery",
        "10,000 deliveries",
        "10,000+ deliveries",
    ]


def numbers_before_things(source: str) -> Iterator[str]:
    """Where a value stands before the name of many things, and no constant does."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.JoinedStr):
            continue
        for value, words in zip(node.values, node.values[1:], strict=False):
            if isinstance(value, ast.FormattedValue) and isinstance(words, ast.Constant):
                said = ast.unparse(value.value)
                is_known = said.strip("_").isupper() or said == "cap"  # of which there are many
                is_number = value.format_spec is not None or "count" in said or "in_words" in said or "len(" in said
                if is_number and not is_known and BEFORE_THINGS.match(str(words.value)):
                    yield said + str(words.value)


def test_it_would_be_found() -> None:
    found = numbers_before_things(
        'f"{in_words(count)} deliveries are held: {len(x)} waits, {name} events, {MOST:,} waits"'
    )
    assert list(found) == ["in_words(count) deliveries are held: ", "len(x) waits, "]


def test_no_number_stands_before_a_word_for_many() -> None:
    found = {str(file): list(numbers_before_things(file.read_text())) for file in PACKAGE.rglob("*.py")}
    assert {file: words for file, words in found.items() if words} == {}
    on_pages = (re.findall(rf"\}}\}}\+? (?:{THINGS})\b", file.read_text()) for file in PACKAGE.rglob("*.html"))
    assert [words for page in on_pages for words in page] == []
