"""A user's lists, from the release that serves them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lakehouse.errors import ConfigurationError
from lakehouse.lists import FALLBACK, PERSONAL_LISTS
from serving.format.records import FALLBACK_KEY, DamagedReleaseError, Item, key, shown
from serving.stores.store import Reading, Store


@dataclass(frozen=True, slots=True)
class Answer:
    """A list as served.

    ``personal`` is false where the user is unknown to the release and gets the fallback list.
    ``notice`` says that the release that serves the user is damaged and an older one answered, else
    ``None``.
    """

    release: str
    list: str
    personal: bool
    items: tuple[Item, ...]
    notice: str | None = None


def lookup(store: Store, user: str, list_name: str = "all", context: str | None = None) -> Answer:
    """One of the user's lists; see ``lookup_all``."""
    (answer,) = lookup_all(store, user, (list_name,), context)
    return answer


def lookup_all(
    store: Store,
    user: str,
    list_names: Sequence[str] = PERSONAL_LISTS,
    context: str | None = None,
) -> tuple[Answer, ...]:
    """The user's lists of these names, from one release, whole, in one round trip.

    Denied items are left out, and spare ones take their places. While a rollout is on, the user
    decides which release that is. Of an unknown user something may be known, e.g. the shop: then
    ``context`` (``store_id=367``) has a list of its own, where the release has one; else the
    fallback list for all answers.
    If the release is damaged, the newest intact one that served before it answers. Raises
    ``ConfigurationError`` for an unknown list and ``InfrastructureError`` where the store cannot be
    reached, is empty, or holds no intact release, or its pointer or deny list is damaged.
    """
    for list_name in list_names:
        if list_name not in PERSONAL_LISTS:
            raise ConfigurationError(
                f"there is no list {list_name!r}; the lists are {', '.join(PERSONAL_LISTS)}."
            )
    # From the user's own lists to that for everybody.
    fallbacks = [] if context is None else [key(FALLBACK.name, context)]
    wanted = (*(key(list_name, user) for list_name in list_names), *fallbacks, FALLBACK_KEY)
    try:
        return _answers(store.read(wanted, user=user), wanted, list_names)
    except DamagedReleaseError as error:
        damage = str(error)
    for release in store.pointer().serving(user)[1:]:
        try:
            answers = _answers(store.read(wanted, release), wanted, list_names)
        except DamagedReleaseError:
            continue
        notice = (
            f"the current release of {store.name} is damaged ({damage}); {release} answers "
            "instead. Run `topshelf publish` for its night again."
        )
        return tuple(replace(answer, notice=notice) for answer in answers)
    raise DamagedReleaseError(
        f"the current release of {store.name} is damaged ({damage}) and no older one is intact. "
        "Run `topshelf publish` for its night again."
    )


def _answers(
    reading: Reading, wanted: Sequence[bytes], list_names: Sequence[str]
) -> tuple[Answer, ...]:
    """For each list the first that there is: the user's own, then the fallbacks."""
    records = list(zip(wanted, reading.values, strict=True))
    fallbacks = records[len(list_names) :]
    answers = []
    for list_name, own in zip(list_names, records, strict=False):
        first = next(((k, value) for k, value in (own, *fallbacks) if value is not None), None)
        if first is None:
            raise DamagedReleaseError(f"release {reading.release} has no fallback list")
        items = shown(*first, reading.denied)
        answers.append(Answer(reading.release, list_name, first[0] is own[0], items))
    return tuple(answers)
