"""Recommendation ids: which list was shown, in a text that later events come back with.

An id says release, surface, tier, arm and the checksum of the list's record. It names nobody, and
the same list has the same one, on all of its pages and in every cache.
"""

import re
from dataclasses import dataclass
from typing import Final, Self

_ID: Final = re.compile(r"([\w-]{1,100})\.(\w{1,40})\.(\w{1,20})\.(\w{1,20}|-)\.([0-9a-f]{8})")


@dataclass(frozen=True, slots=True)
class Recommended:
    """What a recommendation id says; ``arm`` is who got the release while a rollout was on."""

    release: str
    surface: str
    tier: str
    arm: str | None
    checksum: str

    def __str__(self) -> str:
        return f"{self.release}.{self.surface}.{self.tier}.{self.arm or '-'}.{self.checksum}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """What an id says, ``None`` where it is none of ours."""
        match = _ID.fullmatch(text)
        if match is None:
            return None
        release, surface, tier, arm, checksum = match.groups()
        return cls(release, surface, tier, None if arm == "-" else arm, checksum)
