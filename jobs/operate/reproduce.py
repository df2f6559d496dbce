"""Make a release's lists again from what its manifest pins, and compare them with those published.

Lake, store and registry are only read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from operator import itemgetter
from typing import Final, TypeAlias

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from jobs.config.rules import active_rules
from jobs.config.settings import Settings
from jobs.night import warm_start
from jobs.night.inputs import read_gold, read_nights, read_shelf
from jobs.night.lists import served_lists
from jobs.night.recipes import (
    newcomers_recipe,
    policy,
    recipes,
    repeats_recipe,
    served_policy,
    terms,
)
from jobs.night.registry import open_registry
from jobs.night.release import lists_digest
from lakehouse.errors import ConfigurationError, DataError
from lakehouse.lists import LISTS
from lakehouse.tables import ITEM_FEATURES, USER_FEATURES
from models.selection.training import train
from models.selection.trial import NO_STATES, States
from models.tracking.versions import Provenance
from serving.format.details import is_list
from serving.format.records import decode, key, list_of
from serving.format.releases import Manifest
from serving.publishing import verify
from serving.stores.opening import open_store

FIRST: Final = 10

# Item ids in order, by the key of user and list.
Items: TypeAlias = Mapping[bytes, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two sets of lists of one name agree.

    ``same`` is the share of users whose lists have the same items in the same order, ``jaccard``
    the mean over users of common items by all items in the first ten places of both.
    """

    list_name: str
    lists: int
    same: float
    jaccard: float


def reproduce(settings: Settings, release: str) -> RenderableType:
    """Train and rank again; a table of how each list agrees.

    Raises ``DataError`` where the store has no such release, where one thread gives other lists
    than those published, or where the lake no longer holds the pinned versions or MLflow the run
    that training started from, and ``ConfigurationError`` where the settings are not those of the
    release.
    """
    manifest, published = _published(settings, release)
    _require_same_inputs(settings, manifest)
    made = _make(settings, manifest)
    agreements = compare(published, made)
    if all(agreement.same == 1 for agreement in agreements):
        return Text(f"{release}: {len(published):,} lists made again, identical to those published")
    if all(recipe.build().is_deterministic for recipe in recipes(settings)):
        shares = "; ".join(
            f"{a.list_name}: {a.same:.2%} of the lists the same, top-10 overlap {a.jaccard:.4f}"
            for a in agreements
        )
        raise DataError(
            f"{release} cannot be made again, though one thread should give the same lists: "
            f"{shares}. Compare the library versions in MLflow's tags of {manifest.model_version}."
        )
    return show(release, agreements)


def compare(published: Items, made: Items) -> tuple[Agreement, ...]:
    """The agreement of each list; a list that only one side has agrees in nothing."""
    agreements = []
    for name in LISTS:
        keys = [k for k in {**published, **made} if list_of(k) == name]
        pairs = [(published.get(k, ()), made.get(k, ())) for k in keys]
        agreements.append(
            Agreement(
                list_name=name,
                lists=len(pairs),
                same=_mean([old == new for old, new in pairs]),
                jaccard=_mean([_jaccard(old[:FIRST], new[:FIRST]) for old, new in pairs]),
            )
        )
    return tuple(agreements)


def show(release: str, agreements: tuple[Agreement, ...]) -> RenderableType:
    """The agreements as a table."""
    table = Table("list", "lists", "the same", "top-10 overlap", box=None, header_style="bold")
    for agreement in agreements:
        table.add_row(
            agreement.list_name,
            f"{agreement.lists:,}",
            f"{agreement.same:.2%}",
            f"{agreement.jaccard:.4f}",
        )
    head = f"{release} made again with several threads, whose order is left to chance:"
    return Group(Text(head), table)


def _published(settings: Settings, release: str) -> tuple[Manifest, Items]:
    """The release's manifest and lists, whole and verified."""
    with open_store(settings.serving.store, settings.shop.name) as store:
        if release not in store.manifests():
            raise DataError(
                f"{store.name} has no release {release!r}. `topshelf releases` lists those it has."
            )
        manifest = verify(store, release)
        return manifest, {
            record_key: tuple(item.item_id for item in decode(record_key, value))
            for record_key, value in store.records(release)
            if is_list(record_key)
        }


def _require_same_inputs(settings: Settings, manifest: Manifest) -> None:
    digest = lists_digest(settings, active_rules(settings, manifest.run_date))
    if digest != manifest.configuration:
        raise ConfigurationError(
            f"the configuration's digest is {digest[:12]}, that of {manifest.release} "
            f"{manifest.configuration[:12]}. Take the configuration and rules of that night (the "
            f"parameters of {manifest.model_version} in MLflow say what it held), and the same "
            "TOPSHELF__ variables."
        )


def _make(settings: Settings, manifest: Manifest) -> Items:
    """Every list that a run of the release's night gives."""
    versions, night = manifest.table_versions, manifest.run_date
    nights = read_nights(settings, versions, run_date=night)
    trained = train(
        recipes(settings),
        nights,
        terms(settings),
        newcomers=newcomers_recipe(settings),
        repeats=repeats_recipe(settings),
        policy=policy(settings, night),
        earlier=_earlier(settings, manifest),
    )
    users, items = (
        read_gold(settings.paths.lake, table, versions, night, night, columns=columns)
        for table, columns in (
            (USER_FEATURES, ("user_id",)),
            (ITEM_FEATURES, ("item_id", "category")),
        )
    )
    source = Provenance(night, versions, manifest.configuration, manifest.seed)
    lists_by = served_policy(settings, night)
    shelf = read_shelf(settings, source, trained.published) if lists_by.book.rules else None
    blocks = served_lists(
        settings, source, trained.published, users["user_id"], items, policy=lists_by, shelf=shelf
    )
    places = chain.from_iterable(
        zip(rows["list"], rows["user_id"], rows["item_id"], strict=True) for rows in blocks
    )
    return {
        key(list_name, user): tuple(item_id for _, _, item_id in items)
        for (list_name, user), items in groupby(places, key=itemgetter(0, 1))
    }


def _earlier(settings: Settings, manifest: Manifest) -> States:
    """What the release's training started from."""
    if not settings.train.warm_start:
        return NO_STATES
    return warm_start.of_version(open_registry(settings), manifest.model_version).states


def _jaccard(one: tuple[str, ...], other: tuple[str, ...]) -> float:
    union = {*one, *other}
    return len({*one} & {*other}) / len(union) if union else 1.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 1.0
