"""A user's lists, from the release that serves them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain as flat
from typing import NamedTuple

from lakehouse.errors import ConfigurationError
from lakehouse.lists import EVERYBODY, LISTS, PERSONAL_LISTS, Surface, Tier, surface
from serving.format.records import FALLBACK_KEY, DamagedReleaseError, Item, key, shown
from serving.mixing import by_score, by_turns
from serving.stores.store import Reading, Store


@dataclass(frozen=True, slots=True)
class Answer:
    """A list as served.

    ``personal`` is false where there is no such list of whoever is asked for, and one of its
    fallbacks answers; ``tier`` says whose list that is. ``notice`` says that the release that
    serves the user is damaged and an older one answered, else ``None``.
    """

    release: str
    list: str
    personal: bool
    items: tuple[Item, ...]
    notice: str | None = None
    tier: Tier = "user"


@dataclass(frozen=True, slots=True)
class Asker:
    """Whose lists are asked for: what is known of somebody, if anything.

    ``contexts`` are e.g. ``store_id=367`` and ``category=BEER``, those that say most first; of one
    name there may be several. ``items`` are what a list is about: one item, or a basket; with
    ``weights``, each counts for so much, else all of them for the same.
    """

    user: str = ""
    contexts: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()

    @classmethod
    def of(cls, wanted: Surface, subject: str, context: str | None = None) -> "Asker":
        """Who asks for ``subject``, the user or the item that the surface is keyed by."""
        contexts = () if context is None else (context,)
        if wanted.keyed_by == "item":
            return cls(contexts=contexts, items=(subject,))
        return cls(subject, contexts)


def lookup(
    store: Store,
    user: str,
    list_name: str = "all",
    *,
    contexts: Sequence[str] = (),
    items: Sequence[str] = (),
) -> Answer:
    """One of the user's lists; see ``lookup_all``."""
    (answer,) = lookup_all(store, user, (list_name,), contexts=contexts, items=items)
    return answer


def lookup_all(
    store: Store,
    user: str,
    list_names: Sequence[str] = PERSONAL_LISTS,
    *,
    contexts: Sequence[str] = (),
    items: Sequence[str] = (),
) -> tuple[Answer, ...]:
    """The user's lists of these names, from one release, whole, in one round trip.

    Denied items are left out, and spare ones take their places. While a rollout is on, the user
    decides which release that is. Who has no list of a kind gets one of its fallbacks
    (``lakehouse.lists``): something may be known of an unknown user, and then ``contexts`` (see
    ``Asker``) are asked for in their order. The lists of several values of one context are mixed,
    each giving a place in turn; those of several ``items`` by the sum of their scores.
    If the release is damaged, the newest intact one that served before it answers. Raises
    ``ConfigurationError`` for an unknown list, or one of items without any, and
    ``InfrastructureError`` where the store cannot be reached, is empty, or holds no intact release,
    or its pointer or deny list is damaged.
    """
    asker = Asker(user, tuple(contexts), tuple(items))
    chains = [_named(list_name, asker) for list_name in list_names]
    keys = list(dict.fromkeys(one for links in chains for one in links[0].keys))
    further = flat.from_iterable(link.keys for links in chains for link in links[1:])
    fallbacks = list(dict.fromkeys(further))

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


class Link(NamedTuple):
    """The keys of lists that are mixed to one answer, and the items that it leaves out.

    ``surface`` is the name of these lists, ``tier`` says whose they are. ``weights`` are those of
    the keys, the same for all where there are none.
    """

    keys: tuple[bytes, ...]
    surface: str
    tier: Tier
    left_out: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()

    def mixed(
        self, lists: Mapping[bytes, tuple[Item, ...]], size: int | None = None
    ) -> tuple[Item, ...]:
        """The lists that there are, by their keys, as one of ``size`` or as the longest of them."""
        if len(lists) == 1:
            (only,) = lists.values()
            return only
        if self.tier != "item":
            return by_turns(lists.values(), size)
        # What goes with several things of a basket goes with it best.
        weight = dict(zip(self.keys, self.weights, strict=True)) if self.weights else {}
        weights = [weight.get(record_key, 1.0) for record_key in lists]
        return by_score(lists.values(), size, weights=weights)


def chain(wanted: Surface, asker: Asker) -> tuple[Link, ...]:
    """A list and what answers without it, the first that there is."""
    links = [_links(one, asker) for one in (wanted, *map(surface, wanted.fallbacks))]
    return tuple(flat.from_iterable(links))


def ends_for_everybody(links: Sequence[Link]) -> bool:
    """Whether the chain's last list is one that each whole release has."""
    return FALLBACK_KEY in links[-1].keys


def _named(list_name: str, asker: Asker) -> tuple[Link, ...]:
    if list_name not in LISTS:
        raise ConfigurationError(
            f"there is no list {list_name!r}; the lists are {', '.join(LISTS)}."
        )
    wanted = surface(list_name)
    if wanted.keyed_by in ("item", "basket") and not asker.items:
        raise ConfigurationError(f"list {list_name} is about items: say which.")
    return chain(wanted, asker)


def _links(one: Surface, asker: Asker) -> Iterator[Link]:
    match one.keyed_by:
        case "user":
            yield Link((key(one.name, asker.user),), one.name, "user")
            return
        case "item" | "basket":
            name = one.name if one.keyed_by == "item" else one.ranked_by
            if asker.items:
                keys = tuple(key(name, item) for item in asker.items)
                yield Link(keys, one.name, "item", asker.items, asker.weights)
            return
        case "context":
            for values in _by_name(asker.contexts):
                keys = tuple(key(one.name, value) for value in values)
                yield Link(keys, one.name, "context")
    yield Link((key(one.name, EVERYBODY),), one.name, "global")


def _by_name(contexts: Sequence[str]) -> list[list[str]]:
    """Contexts of the same name together, in the order of their first ones."""
    groups: dict[str, list[str]] = {}
    for context in contexts:
        groups.setdefault(context.partition("=")[0], []).append(context)
    return list(groups.values())


def _answer(
    reading: Reading,
    list_name: str,
    links: Sequence[Link],
    found: Mapping[bytes, bytes | None],
) -> Answer:
    """The first of a list's chain that there is."""
    for link in links:
        hidden = reading.denied.union(link.left_out) if link.left_out else reading.denied
        lists = {
            record_key: shown(record_key, value, hidden)
            for record_key in link.keys
            if (value := found.get(record_key)) is not None
        }
        if lists:
            items = link.mixed(lists)
            return Answer(reading.release, list_name, link is links[0], items, tier=link.tier)
    if ends_for_everybody(links):
        raise DamagedReleaseError(f"release {reading.release} has no fallback list")
    return Answer(reading.release, list_name, False, (), tier=links[-1].tier)
