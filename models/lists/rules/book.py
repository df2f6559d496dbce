"""All rules of a shop: read strictly, so that every mistake is told at once."""

import hashlib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations
from typing import Annotated, Final, Self, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from lakehouse.errors import ConfigurationError
from models.lists.rules.hiding import Block, Require, Sensitive
from models.lists.rules.moving import Boost, Bury, Diversity, Freshness, Popular, PriceAffinity
from models.lists.rules.placing import AtMost, Pinned, Share
from models.lists.rules.repeating import Repeat
from models.lists.rules.rule import Kinds, Rule

AnyRule: TypeAlias = Annotated[
    Block
    | Require
    | Sensitive
    | Repeat
    | Boost
    | Bury
    | Freshness
    | Popular
    | PriceAffinity
    | Diversity
    | Pinned
    | Share
    | AtMost,
    Field(discriminator="kind"),
]
_RULE: Final[TypeAdapter[Rule]] = TypeAdapter(AnyRule)
TABLE: Final = "rules"


@dataclass(frozen=True, slots=True, eq=False)
class RuleBook:
    """Rules in the order of their file."""

    rules: tuple[Rule, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read TOML with a table ``[[rules]]`` each.

        Raises ``ConfigurationError`` that names every wrong rule and field.
        """
        try:
            content = tomllib.loads(text)
        except ValueError as error:
            raise ConfigurationError(f"it is not valid TOML: {error}") from error
        mistakes = [f"there is no {name!r}; give [[rules]]" for name in content if name != TABLE]
        tables = content.get(TABLE, [])
        if not isinstance(tables, list):
            raise ConfigurationError("rules is no list of tables; give [[rules]] for each")
        rules = []
        for number, given in enumerate(tables, start=1):
            try:
                rules.append(_RULE.validate_python(given))
            except ValidationError as error:
                mistakes += _told(error, number, given)
        book = cls(tuple(rules))
        mistakes += [*book._twice(), *book._contradictions()]
        if mistakes:
            raise ConfigurationError(_listed(mistakes))
        return book

    @property
    def digest(self) -> str:
        """SHA-256 of what the rules say."""
        said = "\n".join(rule.model_dump_json() for rule in self.rules)
        return hashlib.sha256(said.encode()).hexdigest()

    def active(self, night: date) -> Self:
        """The rules that hold on a night."""
        return type(self)(tuple(rule for rule in self.rules if rule.is_active(night)))

    def check(self, kinds: Kinds, size: int) -> None:
        """Raise ``ConfigurationError`` for rules on attributes or places that there are not."""
        mistakes = [
            f"{rule.id}: {mistake}" for rule in self.rules for mistake in rule.mistakes(kinds, size)
        ]
        if mistakes:
            raise ConfigurationError(_listed(mistakes))

    def on(self, surface: str) -> tuple[Rule, ...]:
        """The rules of a surface, of the kinds that apply there."""
        return tuple(rule for rule in self.rules if surface in rule.surfaces and rule.fits(surface))

    def _twice(self) -> Iterator[str]:
        ids = [rule.id for rule in self.rules]
        for name in sorted({name for name in ids if ids.count(name) > 1}):
            yield f"{name}: two rules have this id"

    def _contradictions(self) -> Iterator[str]:
        """Pins for everybody that cannot both be met on some night."""
        pinned = [rule for rule in self.rules if isinstance(rule, Pinned)]
        for one, other in combinations(pinned, 2):
            together = set(one.surfaces) & set(other.surfaces)
            if one.users or other.users or not together or not _overlap(one, other):
                continue
            if one.place == other.place:
                yield f"{other.id}: {one.id} pins another item to place {one.place}"
            elif one.item == other.item:
                yield f"{other.id}: {one.id} pins the same item to place {one.place}"


NO_RULES: Final = RuleBook()


def _overlap(one: Rule, other: Rule) -> bool:
    start = max(one.valid_from or date.min, other.valid_from or date.min)
    end = min(one.valid_to or date.max, other.valid_to or date.max)
    return start <= end and bool(set(one.weekdays) & set(other.weekdays))


def _told(error: ValidationError, number: int, given: object) -> Iterator[str]:
    """A line per mistake, by the rule's id where it has one."""
    name = given.get("id") if isinstance(given, Mapping) else None
    which = name if isinstance(name, str) and name.isprintable() else f"rule {number}"
    for found in error.errors(include_url=False):
        # The first part is the kind, which says which of the forms was tried.
        place = [str(part) for part in found["loc"][1:]]
        field = f"{place[0]}: " if place else ""
        yield f"{which}: {field}{found['msg'].removeprefix('Value error, ')}"


def _listed(mistakes: Sequence[str]) -> str:
    unique = tuple(dict.fromkeys(mistakes))
    return f"{len(unique)} mistake(s):" + "".join(f"\n  {mistake}" for mistake in unique)
