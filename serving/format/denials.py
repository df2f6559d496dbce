"""The deny list: items that no reader shows, whichever release they read; without I/O.

Stored are the acts of people, oldest first, behind the SHA-256 of what follows (64 hexadecimal
digits and a line feed). So the head alone tells a reader whether the list has changed, however long
it is, and any flipped byte is found.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal, Self, TypeAlias

HEAD_BYTES: Final = 64
# So many acts on items that are not denied any more stay on record.
KEPT_ACTS: Final = 1_000

Action: TypeAlias = Literal["denied", "allowed"]


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody decided about one item; ``when`` is a UTC time in ISO 8601."""

    action: Action
    item_id: str
    who: str
    why: str
    when: str


@dataclass(frozen=True, slots=True)
class DenyList:
    """Every act on an item that is denied, and the newest acts on others."""

    acts: tuple[Act, ...] = ()

    @property
    def in_force(self) -> dict[str, Act]:
        """The denied items, each with the act that denies it, in the order of the acts."""
        last = {act.item_id: place for place, act in enumerate(self.acts)}
        acts = (self.acts[place] for place in sorted(last.values()))
        return {act.item_id: act for act in acts if act.action == "denied"}

    @property
    def items(self) -> frozenset[str]:
        """The denied items."""
        return frozenset(self.in_force)

    def after(self, acts: Iterable[Act]) -> "DenyList":
        """The list after further acts; to allow what is not denied changes nothing."""
        denied, together = set(self.items), list(self.acts)
        for act in acts:
            if act.action == "denied":
                denied.add(act.item_id)
            elif act.item_id in denied:
                denied.remove(act.item_id)
            else:
                continue
            together.append(act)
        return DenyList(_without_oldest(together, denied))

    def to_bytes(self) -> bytes:
        """What is stored."""
        body = json.dumps({"acts": [asdict(act) for act in self.acts]}).encode()
        return hashlib.sha256(body).hexdigest().encode() + b"\n" + body

    @classmethod
    def from_bytes(cls, stored: bytes) -> Self:
        """The list that ``to_bytes`` wrote; raises ``ValueError`` for anything else."""
        head, _, body = stored.partition(b"\n")
        if head != hashlib.sha256(body).hexdigest().encode():
            raise ValueError("the checksum does not match")
        try:
            return cls(tuple(Act(**act) for act in json.loads(body)["acts"]))
        except (TypeError, KeyError) as error:
            raise ValueError("this is no deny list") from error


def _without_oldest(acts: Sequence[Act], denied: Collection[str]) -> tuple[Act, ...]:
    """The acts but for the oldest ones on items that are not denied."""
    over = [place for place, act in enumerate(acts) if act.item_id not in denied]
    forgotten = set(over[:-KEPT_ACTS])
    return tuple(act for place, act in enumerate(acts) if place not in forgotten)
