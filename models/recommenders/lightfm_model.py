"""LightFM with and without attributes, trained with care and ranked by our own top-N.

Factorisation of who took what, where a user or item is the weighted sum of the vectors of its
attributes and of an identity of its own (Kula 2015). What its library leaves to the caller is done
here:

- Explicit attributes replace the identity, so it is added, and rows are scaled to sum to 1.
- An item without events would be nothing but a negative and sink, and one of few buyers is
  overfitted. Both are left out of training and ranked by their attributes alone; the biases of the
  rarer ones of the others are drawn towards the mean.
- WARP caps ``weight * log(rank)`` at 10, so that sample weights are scaled to at most 1.
- BPR draws its negatives by popularity, so that what it learns is ``log(p(item | user) / p(item))``
  up to scale (Levy & Goldberg 2014): the log of the item's popularity, the recent one at that,
  belongs to the score.
- WARP k-OS ignores sample weights, so that the two are refused together.
- The number of passes over the data is chosen on a validation window.
- A night can go on from an earlier night's fit, whose rows are carried over by name
  (``lightfm_state``), as long as that fit saw nothing that this one may not see.
"""

import logging
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple, Self

import numpy as np
import pandas as pd
from lightfm import LightFM
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator
from scipy import sparse

from lakehouse.errors import DataError
from lakehouse.nearest import instead_of
from lakehouse.tables import USER_FEATURES
from models.core.capabilities import LearnsInPasses, State
from models.core.content import OneHot, one_hot, quantile_bands, with_identity
from models.core.context import Context
from models.core.factors import Factors, Floats
from models.core.interactions import Ids, Indices, day_number
from models.core.parameters import MAX_DAYS, Range, Real, Seed, Shared, Threads, Whole
from models.core.registration import register
from models.recommenders.lightfm_state import LightFMState

logger = logging.getLogger(__name__)

USER_BANDS = 5
USER_NUMBERS: Final = tuple(
    column.name for column in USER_FEATURES.columns if column.type in ("int", "long", "double")
)
# What has to be equal for a row to mean the same in two fits.
SHARED: Final = frozenset(
    {"loss", "components", "user_columns", "user_bands", "item_columns", "feature_share"}
)


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """Users or items: which of the vocabulary are trained on, and all rows' attributes.

    ``train`` has a row per trained one: its identity, then its attributes, summing to 1.
    ``everyone`` has the same columns and a row for all of the vocabulary, where those not trained
    on have no identity but attributes alone. ``names`` says of each column what it stands for:
    ``=id`` an identity, ``column=value`` an attribute.
    """

    trained: Indices
    names: Ids
    train: sparse.csr_matrix
    everyone: sparse.csr_matrix


@dataclass(frozen=True, slots=True, eq=False)
class _Training:
    """The matrices of one fit; ``pairs`` and ``weights`` are trained users x trained items."""

    users: _Side
    items: _Side
    pairs: sparse.coo_matrix
    weights: sparse.coo_matrix | None
    buyers: NDArray[np.int64]
    prior: NDArray[np.float64]

    @property
    def names(self) -> dict[str, Ids]:
        """What each column of users' and items' attributes stands for."""
        return {"user": self.users.names, "item": self.items.names}


class _Attributes(NamedTuple):
    """What is known of people and items besides who took what; of pure LightFM nothing is.

    The fields are those of ``HybridLightFM.Configuration``.
    """

    user_columns: tuple[str, ...] = ()
    user_bands: tuple[str, ...] = ()
    item_columns: tuple[str, ...] = ()
    feature_share: float = 0.05
    minimum_rows: int = 2


@register("lightfm")
class PureLightFM(LearnsInPasses, Factors):
    """LightFM by who took what alone.

    A pair's sample weight is ``0.5 ** (age of its last event / weight_half_life_days)``, an item's
    own bias is drawn to the mean by ``buyers / (buyers + bias_shrinkage)``, and ``prior_weight *
    log(1 + recent buyers)`` is added to it, a buyer counting ``0.5 ** (age of the pair's last event
    / prior_half_life_days)``. A validation window, if there is one, stops the passes.
    """

    is_elaborate: ClassVar[bool] = True

    class Configuration(Factors.Configuration):
        """LightFM (Kula 2015) by who took what alone, without attributes."""

        loss: Literal["warp", "bpr", "logistic", "warp-kos"] = Field(
            default="bpr", description="What passes make smaller."
        )
        components: Annotated[Whole, Range(16, 96, log=True)] = Field(
            default=64, ge=1, le=4096, description="Dimensions of vectors."
        )
        max_epochs: Whole = Field(
            default=15, ge=0, le=10_000, description="Passes over the data at most."
        )
        patience: Whole = Field(
            default=2, ge=1, le=10_000, description="Stop after so many passes without a gain."
        )
        learning_rate: Annotated[Real, Range(0.02, 0.3, log=True)] = Field(
            default=0.1, gt=0, le=10, description="Adagrad's learning rate."
        )
        max_sampled: Whole = Field(
            default=10, ge=1, le=1_000_000, description="WARP's draws for a wrong order at most."
        )
        regularisation: Real = Field(
            default=0.0, ge=0, le=1000, description="Draws vectors towards 0."
        )
        weight_half_life_days: Real = Field(
            default=120.0,
            ge=0,
            le=MAX_DAYS,
            description="Days after which a pair weighs half; with 0 all weigh the same.",
        )
        minimum_buyers: Whole = Field(
            default=10,
            ge=1,
            le=1_000_000,
            description="Users that an item needs for an identity of its own, if any has so many.",
        )
        bias_shrinkage: Real = Field(
            default=5.0, ge=0, le=1_000_000, description="Buyers at which half of a bias counts."
        )
        prior_weight: Real = Field(
            default=1.5, ge=0, le=1000, description="What the log of recent buyers adds to a bias."
        )
        prior_half_life_days: Real = Field(
            default=14.0,
            gt=0,
            le=MAX_DAYS,
            description="Days after which a buyer counts half.",
        )
        validation_protocol: Literal["all", "discover"] = Field(
            default="discover", description="Lists by which the number of passes is chosen."
        )
        seed: Seed = 42
        threads: Threads = 1

        @model_validator(mode="after")
        def _weights_count(self) -> Self:
            if self.loss == "warp-kos" and self.weight_half_life_days:
                raise ValueError(
                    "LightFM's loss 'warp-kos' ignores sample weights: set weight_half_life_days "
                    "to 0, or choose the loss 'warp'"
                )
            return self

    configuration: Configuration

    def __init__(self, **parameters: object) -> None:
        """Raise ``ConfigurationError`` for an unknown or wrong parameter."""
        super().__init__(**parameters)
        self._reached: LightFMState | None = None

    @property
    def is_deterministic(self) -> bool:
        """Threads write to the same vectors, in whatever order they come."""
        return self.configuration.threads == 1

    @property
    def state(self) -> LightFMState | None:
        """What the fit has learnt, ``None`` before; it is not saved with the model."""
        return self._reached

    @property
    def learnt_parameters(self) -> dict[str, Any]:
        """With as many passes as the validation window found best."""
        return {**self.parameters, "max_epochs": self.best_epoch}

    @classmethod
    def load_state(cls, folder: Path) -> LightFMState:
        """Read a state; raises ``DataError`` where it is missing or damaged."""
        return LightFMState.load(folder)

    @property
    def _attributes(self) -> _Attributes:
        return _Attributes()

    @property
    def max_epochs(self) -> int:
        """Passes at most, and without a validation window."""
        return self.configuration.max_epochs

    @property
    def patience(self) -> int:
        """After so many passes without a gain on the validation window it is enough."""
        return self.configuration.patience

    @property
    def validation_protocol(self) -> str:
        """By which lists the number of passes is chosen."""
        return self.configuration.validation_protocol

    def _trainer(self, context: Context, start: State | None) -> "_Passes":
        data = self._training(context)
        return _Passes(self, context.as_of, data, self._initialised(context, data, start))

    def _learnt(self, model: LightFM, data: _Training, as_of: date) -> None:
        """Take over what the library's model has come to."""
        self._set_vectors(model, data)
        self._reached = LightFMState.of(model, as_of, self._recipe(), data.names)

    def _initialised(self, context: Context, data: _Training, start: State | None) -> LightFM:
        """The library's model before the first pass, its rows those of ``start`` where known."""
        chosen = self.configuration
        model = LightFM(
            no_components=chosen.components,
            loss=chosen.loss,
            learning_rate=chosen.learning_rate,
            max_sampled=chosen.max_sampled,
            user_alpha=chosen.regularisation,
            item_alpha=chosen.regularisation,
            random_state=chosen.seed,
        )
        _passes(model, data, chosen.threads, 0)
        self.started_from = None
        if start is not None:
            if not isinstance(start, LightFMState):
                raise TypeError(f"{self.name} cannot go on from a {type(start).__name__}")
            start.require_not_after(context.as_of)
            if differing := self._differing(start):
                logger.warning("%s starts cold: %s", self.name, differing)
            else:
                start.carry_over(model, data.names)
                self.started_from = start.as_of
        return model

    def _recipe(self) -> dict[str, Any]:
        """The parameters that a fit and the one that it starts from have to share, as in JSON."""
        return {name: value for name, value in self.parameters.items() if name in SHARED}

    def _differing(self, start: LightFMState) -> str:
        """What keeps rows of ``start`` from meaning the same here; empty where nothing does."""
        return ", ".join(
            f"{name} is {value!r}, was {start.recipe.get(name)!r}"
            for name, value in self._recipe().items()
            if value != start.recipe.get(name)
        )

    def _training(self, context: Context) -> _Training:
        events, chosen = context.interactions, self.configuration
        latest = (
            pd.DataFrame({"user": events.user, "item": events.item, "day": events.day})
            .groupby(["user", "item"], sort=True, as_index=False)
            .max()
        )
        age = day_number(context.as_of) - latest["day"].to_numpy()
        recent = np.bincount(
            latest["item"], 0.5 ** (age / chosen.prior_half_life_days), minlength=events.items
        )
        bought_by = np.bincount(latest["item"], minlength=events.items)
        trained = bought_by >= min(chosen.minimum_buyers, int(np.max(bought_by)))
        latest = latest[trained[latest["item"]]]
        users, user = np.unique(latest["user"].to_numpy(), return_inverse=True)
        items, item = np.unique(latest["item"].to_numpy(), return_inverse=True)
        pairs = sparse.coo_matrix(
            (
                np.ones(len(latest), dtype=np.float32),
                (user.astype(np.int32), item.astype(np.int32)),
            ),
            shape=(len(users), len(items)),
        )
        weights = self._sample_weights(day_number(context.as_of) - latest["day"].to_numpy())
        return _Training(
            users=self._side(self._user_attributes(context), users, events.user_ids),
            items=self._side(self._item_attributes(context), items, events.item_ids),
            pairs=pairs,
            weights=None
            if weights is None
            else sparse.coo_matrix((weights, (pairs.row, pairs.col)), shape=pairs.shape),
            buyers=np.bincount(item, minlength=len(items)),
            prior=chosen.prior_weight * np.log1p(recent),
        )

    def _user_attributes(self, context: Context) -> OneHot:
        known = self._attributes
        columns = [name for name in known.user_columns if name in context.user_attributes]
        bands = [name for name in known.user_bands if name in context.user_features]
        table = context.user_attributes[columns].assign(
            **{name: quantile_bands(context.user_features[name], USER_BANDS) for name in bands}
        )
        return one_hot(table, [*columns, *bands])

    def _item_attributes(self, context: Context) -> OneHot:
        return one_hot(context.item_features, self._attributes.item_columns)

    def _side(self, attributes: OneHot, trained: Indices, ids: Ids) -> _Side:
        matrix = attributes.matrix
        common = np.bincount(matrix[trained].indices, minlength=matrix.shape[1])
        kept = np.flatnonzero(common >= self._attributes.minimum_rows)
        features = with_identity(matrix[:, kept], self._attributes.feature_share)
        columns = np.concatenate([trained, np.arange(matrix.shape[0], features.shape[1])])
        everyone = sparse.csr_matrix(features[:, columns], dtype=np.float32)
        train = everyone[trained]
        if not np.allclose(train.sum(axis=1), 1, atol=1e-5):
            raise RuntimeError("LightFM's attribute rows must sum to 1")
        names = [*(f"={own}" for own in ids[trained]), *(attributes.names[place] for place in kept)]
        return _Side(trained, np.array(names, dtype=object), train, everyone)

    def _sample_weights(self, age: NDArray[np.int64]) -> Floats | None:
        """``age`` in days; the newest pair weighs 1, none more."""
        half_life = self.configuration.weight_half_life_days
        if not half_life:
            return None
        weights = 0.5 ** (age / half_life)
        return np.asarray(weights / np.max(weights), dtype=np.float32)

    def _set_vectors(self, model: LightFM, data: _Training) -> None:
        """Representations with the bias as last dimension, zero where nothing is known."""
        users, items = data.users, data.items
        item_biases = model.item_biases.copy()
        own = item_biases[: len(items.trained)]
        kept = data.buyers / (data.buyers + self.configuration.bias_shrinkage)
        mean = own.mean()
        item_biases[: len(own)] = mean + (own - mean) * kept
        biases = items.everyone @ item_biases
        described = np.diff(items.everyone.indptr) > 0
        # Who has no identity of its own has the average one's bias in its place.
        identity = np.asarray(items.everyone[:, : len(own)].sum(axis=1)).ravel()
        missing = np.where(described & (identity == 0), 1 - self._attributes.feature_share, 0)
        biases = np.where(described, biases + missing * mean + data.prior, 0)
        self._item_vectors = np.column_stack(
            [items.everyone @ model.item_embeddings, biases]
        ).astype(np.float32)
        self._user_vectors = np.column_stack(
            [users.everyone @ model.user_embeddings, np.diff(users.everyone.indptr) > 0]
        ).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _Passes:
    """A fit under way: the method, the night, its matrices, and the library's model."""

    method: PureLightFM
    as_of: date
    data: _Training
    model: LightFM

    def train_epoch(self) -> None:
        """One more pass over the data."""
        _passes(self.model, self.data, self.method.configuration.threads, 1)

    def finish(self) -> None:
        """Let the method rank by what has been learnt so far."""
        self.method._learnt(self.model, self.data, self.as_of)


@register("hybrid_lightfm")
class HybridLightFM(PureLightFM):
    """LightFM with attributes; those that a context lacks are left out.

    ``user_bands`` are cut into ``USER_BANDS`` bands of equal size.
    """

    class Configuration(PureLightFM.Configuration):
        """LightFM (Kula 2015) with attributes of people and items."""

        user_columns: Annotated[tuple[str, ...], Shared("user_attributes")] = Field(
            default=(), description="Attributes of users."
        )
        user_bands: tuple[str, ...] = Field(
            default=("events_total", "days_since_last", "items_distinct", "price_band_mean"),
            description="Columns of gold.user_features, cut into five bands of equal size.",
        )
        item_columns: tuple[str, ...] = Field(
            default=(
                "department",
                "category",
                "product_type",
                "brand",
                "manufacturer",
                "price_band",
            ),
            description="Attributes of items.",
        )
        feature_share: Real = Field(
            default=0.05, gt=0, lt=1, description="Weight of attributes beside the identity."
        )

        @field_validator("user_bands")
        @classmethod
        def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
            for name in names:
                if name not in USER_NUMBERS:
                    raise ValueError(
                        f"{USER_FEATURES.full_name} has no number {name!r}; "
                        f"{instead_of(name, USER_NUMBERS)}"
                    )
            return names

        minimum_rows: Whole = Field(
            default=2, ge=1, le=1_000_000, description="Users or items that an attribute needs."
        )

    configuration: Configuration

    @property
    def _attributes(self) -> _Attributes:
        chosen = self.configuration
        return _Attributes(*(getattr(chosen, name) for name in _Attributes._fields))


def _passes(model: LightFM, data: _Training, threads: int, epochs: int) -> None:
    """Pass over the data; the first call, even with 0 ``epochs``, draws the initial vectors."""
    try:
        # The library sums infinities of either sign to find them, and raises.
        with np.errstate(invalid="ignore"):
            model.fit_partial(
                data.pairs,
                user_features=data.users.train,
                item_features=data.items.train,
                sample_weight=data.weights,
                epochs=epochs,
                num_threads=threads,
            )
    except ValueError as error:
        raise DataError(
            f"LightFM diverged ({error}): lower learning_rate, or raise regularisation"
        ) from error
