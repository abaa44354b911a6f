"""A thousand argument vectors that chance made: each ends in plain words, none is called a bug."""

from __future__ import annotations

from tests.chaos.stage import Stage, check_words

COMMANDS = (
    "create fixed-time",
    "create until-date",
    "create until-time",
    "create for-event",
    "status",
    "list",
    "pending",
    "history",
    "cancel",
    "resume",
    "explain",
    "reschedule",
    "replan",
    "upcoming",
    "why",
    "event record",
    "event ingest",
    "event list",
    "event show",
    "event types",
    "event types add",
    "event types remove",
    "event why",
    "event providers",
    "event quarantine list",
    "event quarantine show",
    "event quarantine replay",
    "tick --dry-run",
    "tick",
    "delivery list",
    "delivery show",
    "delivery retry",
    "delivery drop",
    "delivery handlers",
    "pause",
    "unpause",
    "calendar list",
    "calendar show",
    "calendar check",
    "db current",
    "db check",
    "db sql",
    "await --timeout 1s",
    "",
    "nonsense",
)

OPTIONS = (
    *("--contact", "--execution", "--step", "--workflow", "--context", "--handler", "--key", "--tz", "--calendar"),
    *(
        "--window",
        "--dst",
        "--late",
        "--max-late",
        "--from",
        "--dry-run",
        "--past",
        "--days",
        "--match",
        "--match-json",
    ),
    *("--where", "--timeout", "--lookback", "--grace", "--exclusive", "--all", "--count", "--distinct", "--status"),
    *("--type", "--overdue", "--due-before", "--limit", "--after", "--reason", "--data", "--id", "--source", "--at"),
    *("--format", "--headers-file", "--url", "--no-verify", "--since", "--unmatched", "--batch-size", "--max-batches"),
    *("--time-budget", "--only", "--as-of", "-o", "-q", "-v", "--by", "--until", "--offset", "--field", "--help", "--"),
)

VALUES = (
    *("", " ", "-", "--", "0", "-1", "1", "99999999999999999999", "3d", "3bd", "1mo", "90m", "PT36H", "09:00", "25:61"),
    *(
        "2026-12-24",
        "2026-13-45T99:99",
        "2026-03-29T02:30:00Z",
        "nowhere/at-all",
        "Europe/Berlin",
        "mon-fri 09:00-17:00",
    ),
    *(
        "email_open",
        "ada@example.org",
        "json",
        "id",
        "{}",
        "[]",
        '{"a":1}',
        "{",
        "@/nowhere",
        "@",
        "a=b",
        "=",
        "\u202e",
    ),
    *("\x1b[31m", "\x00"[:0], "jörg", "a" * 300, "1 = 1", "event.data.x == 1", "size('ö') > 0", "'; DROP TABLE x; --"),
    *("01a20fce-2fd0-7392-bf26-407a675f92ab", "ffffffff", "DE-BY", "2027", "compatible", "skip", "1e400", "NaN"),
)


def arguments(stage: Stage) -> str:
    """A thousand in the full form, half of them on each database."""
    asked = stage.times(500, 20)
    codes: dict[int, int] = {}
    for _, url in stage.urls("arguments"):
        command = stage.command(url)
        for _ in range(asked):
            vector = stage.random.choice(COMMANDS).split()
            for _ in range(stage.random.randrange(5)):
                vector.append(stage.random.choice(OPTIONS if stage.random.random() < 0.5 else VALUES))
            ended = command(*vector)
            assert ended.code in {0, 1, 2, 3, 4, 5, 6, 7}, (vector, ended)
            check_words(ended, ended.code)
            codes[ended.code] = codes.get(ended.code, 0) + 1
    return ", ".join(f"{number} with exit {code}" for code, number in sorted(codes.items()))
