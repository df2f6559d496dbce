"""What a mapping may say about how times are written: ``iso``, an epoch, or a Java pattern.

A pattern is checked against what Spark reads before Spark is there, so that a mistake is told when
the configuration is read, with the letters that were probably meant.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

ISO: Final = "iso"
EPOCHS: Final = {"epoch_seconds": 1, "epoch_millis": 1_000, "epoch_micros": 1_000_000}  # a second

# Letters of java.time's DateTimeFormatter that Spark reads, and how often one may stand in a row.
_LENGTHS: Final = {
    "y": {1, 2, 4},
    "M": {1, 2, 3, 4},
    "d": {1, 2},
    "D": {1, 3},
    "H": {1, 2},
    "h": {1, 2},
    "k": {1, 2},
    "K": {1, 2},
    "m": {1, 2},
    "s": {1, 2},
    "S": set(range(1, 10)),
    "a": {1},
    "V": {2},
    "z": {1, 2, 3, 4},
    "O": {1, 4},
    "X": {1, 2, 3, 4, 5},
    "x": {1, 2, 3, 4, 5},
    "Z": {1, 2, 3, 4, 5},
}
_ZONE_LETTERS: Final = frozenset("VzOXxZ")
_NOT_READ: Final = {
    "Y": "`{run}` is the year of a week; the year is `yyyy`",
    "u": "`{run}` is not read; the year is `yyyy`",
    "L": "`{run}` is not read; the month is `MM`",
    "A": "`{run}` is not read; AM or PM is `a`",
    "E": "`{run}`, the name of a day, is not read; cut it off by `replacements` of event_time",
    "n": "`{run}` is not read; a fraction of a second is `SSS`",
    "N": "`{run}` is not read; a fraction of a second is `SSS`",
}
_HALF_DAY: Final = "`{run}` is an hour of half a day, with `a` for AM or PM; that of a day is `HH`"
# Letters that are odd beside (or without) others, and what was probably meant.
_ODD: Final[dict[str, tuple[Callable[[set[str]], bool], str]]] = {
    "D": (
        lambda letters: bool(letters & {"M", "d"}),
        "`{run}` is the day of the year; the day of the month is `dd`",
    ),
    "S": (
        lambda letters: "s" not in letters,
        "`{run}` is a fraction of a second; the second is `ss`",
    ),
    "m": (
        lambda letters: not letters & set("HhkK"),
        "`{run}` is the minute; the month is `MM`, the hour `HH`",
    ),
    "h": (lambda letters: "a" not in letters, _HALF_DAY),
    "K": (lambda letters: "a" not in letters, _HALF_DAY),
    "a": (
        lambda letters: not letters & set("hK"),
        "`{run}` (AM or PM) goes with the hour `hh`",
    ),
}
_PYTHON: Final = {
    "Y": "yyyy",
    "y": "yy",
    "m": "MM",
    "b": "MMM",
    "B": "MMMM",
    "d": "dd",
    "j": "DDD",
    "H": "HH",
    "I": "hh",
    "M": "mm",
    "S": "ss",
    "f": "SSSSSS",
    "p": "a",
    "z": "XX",
}
_TOKEN: Final = re.compile(r"'(?:[^']|'')*'|([A-Za-z])\1*|.", re.DOTALL)


def check(time_format: str) -> str:
    """Return ``time_format``; raises ``ValueError`` saying what is wrong and what to write."""
    if time_format == ISO or time_format in EPOCHS:
        return time_format
    if problem := _problem(time_format):
        raise ValueError(
            f"{problem}. Write iso, {', '.join(EPOCHS)}, or a Java pattern such as dd/MM/yyyy HH:mm"
        )
    return time_format


def has_zone(pattern: str) -> bool:
    """Whether a time in this Java pattern names its zone or its distance from UTC."""
    return any(run[0] in _ZONE_LETTERS for run in _runs(pattern))


def _problem(pattern: str) -> str | None:
    if re.search(r"%[A-Za-z]", pattern):
        return _python_problem(pattern)
    if re.fullmatch(r"\w+", pattern) and not set(pattern) <= {*_LENGTHS, *_NOT_READ}:
        return f"`{pattern}` is no format"
    if stray := sorted(set("#{}") & set(pattern)):
        return f"`{stray[0]}` has no meaning in a pattern"
    if len(re.findall("'", pattern)) % 2:
        return "a quote `'` is not closed"
    if pattern.count("[") != pattern.count("]"):
        return "a bracket `[` is not closed"
    runs = list(_runs(pattern))
    return "; ".join(_misused(runs)) or "; ".join(_missing({run[0] for run in runs})) or None


def _python_problem(pattern: str) -> str:
    """Say the pattern in Java's letters where each of Python's has one."""

    def java(match: re.Match[str]) -> str:
        directive, literal = match.groups()
        return _PYTHON[directive] if directive else f"'{literal}'"

    if set(re.findall(r"%(.)", pattern)) <= set(_PYTHON):
        meant = re.sub(r"%(.)|([A-Za-z]+)", java, pattern)
        return f"`{pattern}` is Python's notation; the same in Java's is `{meant}`"
    return f"`{pattern}` is Python's notation"


def _misused(runs: list[str]) -> Iterator[str]:
    """Letters that Spark doesn't read, or that mean something else than beside the others."""
    letters = {run[0] for run in runs}
    for run in runs:
        letter = run[0]
        is_odd, hint = _ODD.get(letter, (lambda _: False, ""))
        if letter in _NOT_READ:
            yield _NOT_READ[letter].format(run=run)
        elif letter not in _LENGTHS:
            yield f"`{run}` has no meaning; a letter that stands for itself is quoted, as in `'T'`"
        elif is_odd(letters):
            yield hint.format(run=run)
        elif len(run) not in _LENGTHS[letter]:
            yield f"`{run}` is not read; write `{letter * max(_usual(letter))}`"
    for letter in sorted(letters & set(_LENGTHS)):
        if sum(run[0] == letter for run in runs) > 1:
            meaning = "; `MM` is the month, `mm` the minute" if letter in "mM" else ""
            yield f"`{letter}` stands for two parts{meaning}"


def _missing(letters: set[str]) -> Iterator[str]:
    """Parts without which no instant is named."""
    if "y" not in letters:
        yield "the pattern has no year `yyyy`"
    if "D" not in letters:
        if "M" not in letters:
            yield "the pattern has no month `MM`"
        if "d" not in letters:
            yield "the pattern has no day `dd`"
    if "s" in letters and "m" not in letters:
        yield "the pattern has seconds but no minute `mm`"


def _usual(letter: str) -> set[int]:
    """The lengths that are numbers, of which the greatest is the usual one."""
    return _LENGTHS[letter] & ({1, 2} if letter == "M" else set(range(1, 5)))


def _runs(pattern: str) -> Iterator[str]:
    """The letters outside quotes, equal ones in a row together."""
    for token in _TOKEN.finditer(pattern):
        if token.group(1):
            yield token.group()
