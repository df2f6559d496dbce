"""The shop's business rules, from the file that the configuration names."""

from datetime import date
from typing import Final

from jobs.config.settings import Settings
from lakehouse.errors import ConfigurationError
from lakehouse.tables import ITEM_FEATURES, USER_FEATURES, Table
from models.lists.rules.book import NO_RULES, RuleBook
from models.lists.rules.rule import Kinds
from models.lists.rules.shelf import AGE

CATEGORY: Final = "category"
NIGHT: Final = ("run_date", "as_of", "user_id")


def rule_book(settings: Settings) -> RuleBook:
    """All rules, whether they hold tonight or not; none where the configuration names no file.

    Raises ``ConfigurationError`` that names the file and every mistake in it.
    """
    path = settings.recommend.rules
    if path is None:
        return NO_RULES
    try:
        book = RuleBook.parse(path.read_bytes().decode("utf-8-sig"))
        book.check(kinds(settings), settings.recommend.size)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(
            f"[recommend] rules names {path}, which cannot be read: {reason}."
        ) from error
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    return book


def active_rules(settings: Settings, run_date: date) -> RuleBook:
    """The rules that hold on a night."""
    return rule_book(settings).active(run_date)


def kinds(settings: Settings) -> Kinds:
    """What can be said of items, of people (the sources' attributes too) and of contexts."""
    attributes = {name for source in settings.sources for name in source.attributes}
    return Kinds(
        items={**_kinds(ITEM_FEATURES), AGE: "int"},
        users={**dict.fromkeys(sorted(attributes), "string"), **_kinds(USER_FEATURES)},
        contexts=dict.fromkeys((*settings.recommend.contexts, CATEGORY), "string"),
    )


def _kinds(table: Table) -> dict[str, str]:
    return {column.name: column.type for column in table.columns if column.name not in NIGHT}
