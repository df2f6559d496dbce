"""What a rollout's candidate may differ in from the release that serves; without I/O."""

from collections.abc import Iterator
from typing import Annotated, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, Strict

from serving.format.comparison import Comparison

Limit: TypeAlias = Annotated[float | None, Strict()]


class Guardrails(BaseModel):
    """Limits on users' lists as they are shown; one that is not given is not asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    empty_share: Limit = Field(
        default=None,
        ge=0,
        le=1,
        description="Greatest share of lists without an item, those included that the candidate "
        "does not have and the current release has.",
    )
    fallback_share: Limit = Field(
        default=None, ge=0, le=1, description="Greatest share of places filled by popularity."
    )
    coverage_ratio: Limit = Field(
        default=None,
        ge=0,
        description="Least number of different items, as a share of the current release's.",
    )
    churn: Limit = Field(
        default=None,
        ge=0,
        le=1,
        description="Greatest mean share of a list's items that the current release does not have "
        "in it.",
    )


LEAST: Final = ("coverage_ratio",)


def breaches(limits: Guardrails, found: Comparison) -> Iterator[str]:
    """A line for each limit that the candidate breaks: figure, limit, and what it is about."""
    for name, field in Guardrails.model_fields.items():
        figure, limit = getattr(found, name), getattr(limits, name)
        if limit is None:
            continue
        is_least = name in LEAST
        if figure < limit if is_least else figure > limit:
            bound = "least" if is_least else "most"
            yield f"{name} is {figure:.4g}, at {bound} {limit:.4g} is allowed: {field.description}"
