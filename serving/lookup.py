"""A user's lists, from the release that serves them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from lakehouse.errors import ConfigurationError
from lakehouse.lists import EVERYBODY, LISTS, PERSONAL_LISTS, Surface, surface
from serving.format.records import DamagedReleaseError, Item, key, shown
from serving.stores.store import Reading, Store

# What a list can be of, one by one; other surfaces are for contexts or everybody.
OF_ONE: Final = ("user", "item")
OPEN: Final = b""
_KEPT_CHAINS: Final = 4_096


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


@dataclass(frozen=True, slots=True)
class Link:
    """One list that may answer: its key, its surface, and whose it is.

    ``tier`` is what it is keyed by (``user``, ``item``, ``context``), or ``global``.
    """

    key: bytes
    surface: str
    tier: str


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
    decides which release that is. Who has no list of a kind gets one of its fallbacks
    (``lakehouse.lists``): something may be known of an unknown user, e.g. the shop, and then
    ``context`` (``store_id=367``) has a list of its own, where the release has one.
    If the release is damaged, the newest intact one that served before it answers. Raises
    ``ConfigurationError`` for an unknown list and ``InfrastructureError`` where the store cannot be
    reached, is empty, or holds no intact release, or its pointer or deny list is damaged.
    """
    for list_name in list_names:
        if list_name not in LISTS:
            raise ConfigurationError(
                f"there is no list {list_name!r}; the lists are {', '.join(LISTS)}."
            )
    chains = [chain(surface(list_name), user, context) for list_name in list_names]
    keys = [links[0].key for links in chains]
    fallbacks = list(dict.fromkeys(link.key for links in chains for link in links[1:]))

    def ask(release: str | None = None) -> tuple[Answer, ...]:
        reading = store.read(keys, release, fallbacks=fallbacks, user=user)
        # Fallbacks are empty where none is needed.
        found = dict(zip(fallbacks, reading.fallbacks, strict=False))
        found |= zip(keys, reading.values, strict=True)
        return tuple(
            _answer(reading, list_name, links, found)
            for list_name, links in zip(list_names, chains, strict=True)
        )

    try:
        return ask()
    except DamagedReleaseError as error:
        damage = str(error)
    for release in store.pointer().serving(user)[1:]:
        try:
            answers = ask(release)
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


def chain(wanted: Surface, subject: str, context: str | None) -> tuple[Link, ...]:
    """A list and what answers without it, the first that there is.

    ``subject`` is the user, or the item, that the surface is keyed by. Each surface is asked for
    them, or for the context, and then for everybody.
    """
    return tuple(
        Link(key(link.surface, subject), link.surface, link.tier) if link.key == OPEN else link
        for link in _links(wanted, context)
    )


@lru_cache(_KEPT_CHAINS)
def _links(wanted: Surface, context: str | None) -> tuple[Link, ...]:
    """A chain, with ``OPEN`` for the key that depends on the user or item."""
    links = []
    for one in (wanted, *(surface(name) for name in wanted.fallbacks)):
        if one.keyed_by in OF_ONE:
            links.append(Link(OPEN, one.name, one.keyed_by))
            continue
        if one.keyed_by == "context" and context is not None:
            links.append(Link(key(one.name, context), one.name, "context"))
        links.append(Link(key(one.name, EVERYBODY), one.name, "global"))
    return tuple(links)


def _answer(
    reading: Reading,
    list_name: str,
    links: Sequence[Link],
    found: Mapping[bytes, bytes | None],
) -> Answer:
    """The first of a list's chain that there is."""
    for link in links:
        value = found.get(link.key)
        if value is not None:
            items = shown(link.key, value, reading.denied)
            return Answer(reading.release, list_name, link == links[0], items)
    raise DamagedReleaseError(f"release {reading.release} has no fallback list")
