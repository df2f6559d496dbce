"""One user's list, from the release that serves."""

from dataclasses import dataclass

from lakehouse.errors import ConfigurationError
from lakehouse.lists import FALLBACK, PERSONAL_LISTS
from serving.format.records import (
    FALLBACK_KEY,
    DamagedReleaseError,
    Item,
    decode,
    key,
)
from serving.stores.store import Reading, Store


@dataclass(frozen=True, slots=True)
class Answer:
    """A list as served.

    ``personal`` is false where the user is unknown to the release and gets the fallback list.
    ``notice`` says that the current release is damaged and an older one answered, else ``None``.
    """

    release: str
    list: str
    personal: bool
    items: tuple[Item, ...]
    notice: str | None = None


def lookup(store: Store, user: str, list_name: str = "all", context: str | None = None) -> Answer:
    """The items of the user's list, from one release, whole.

    Of an unknown user something may be known, e.g. the shop: then ``context`` (``store_id=367``)
    has a list of its own, where the release has one; else the fallback list for all answers.
    The current release answers; if it is damaged, the newest intact one that served before it.
    Raises ``ConfigurationError`` for an unknown list and ``InfrastructureError`` where the store
    cannot be reached, is empty, or holds no intact release.
    """
    if list_name not in PERSONAL_LISTS:
        raise ConfigurationError(
            f"there is no list {list_name!r}; the lists are {', '.join(PERSONAL_LISTS)}."
        )
    # From the user's own list to that for everybody; the first that there is answers.
    fallbacks = [] if context is None else [key(FALLBACK.name, context)]
    wanted = (key(list_name, user), *fallbacks, FALLBACK_KEY)
    try:
        return _answer(store.read(wanted), wanted, list_name)
    except DamagedReleaseError as error:
        damage = str(error)
    for release in reversed(store.pointer().history[:-1]):
        try:
            answer = _answer(store.read(wanted, release), wanted, list_name)
        except DamagedReleaseError:
            continue
        notice = (
            f"the current release of {store.name} is damaged ({damage}); {release} answers "
            "instead. Run `topshelf publish` for its night again."
        )
        return Answer(answer.release, list_name, answer.personal, answer.items, notice)
    raise DamagedReleaseError(
        f"the current release of {store.name} is damaged ({damage}) and no older one is intact. "
        "Run `topshelf publish` for its night again."
    )


def _answer(reading: Reading, wanted: tuple[bytes, ...], list_name: str) -> Answer:
    for place, (record_key, value) in enumerate(zip(wanted, reading.values, strict=True)):
        if value is not None:
            return Answer(reading.release, list_name, place == 0, decode(record_key, value))
    raise DamagedReleaseError(f"release {reading.release} has no fallback list")
