"""``recording``: which pictures of the line are kept on the disk, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field

from agent.config.rules import Broken
from agent.config.sections.base import LongSeconds, Section, Share

GIB = 1024**3
PerMinute = Annotated[float, Field(ge=0, le=10_000)]


class Wanted(Section):
    """Pictures of one reason."""

    per_minute: PerMinute = 6.0
    """At most so many of a lane, on average; 0: none for this reason."""
    share: Share = 0.1
    """Of ``limit_bytes``: what other reasons cannot take from this one."""


class Uncertain(Wanted):
    confidence_below: Share = 0.6


class Implausible(Wanted):
    plausibility_below: Share = 0.5


class Explained(Wanted):
    """The controls of an explanation that are unusual, of the suture."""

    reliance_above: Share = 0.5
    """Share of the background in deciding, with the background hidden in the input."""
    foreground_below: Share = 0.2
    """Sensitivity to the suture, with the suture hidden in the input."""
    spot_error_above: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Relative error of one channel against a plain run of the model."""


class Random(Wanted):
    one_in: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    """Fruit of which one is kept, whatever is seen of it."""


class Sure(Wanted):
    confidence_from: Share = 0.9


class Recording(Section):
    """Pictures of fruit, with what was read, kept to be labelled and trained on."""

    enabled: bool = False
    folder: Path | None = None
    """None: ``recordings`` in ``state_dir``."""
    limit_bytes: Annotated[int, Field(ge=1, le=1 << 50)] = 10 * GIB
    """Cap of all recordings together."""
    age_s: LongSeconds = 7_776_000.0
    """How long a picture is kept at most."""
    free_disk_bytes: Annotated[int, Field(ge=0, le=1 << 50)] = GIB
    """Free space of the disk below which nothing is recorded."""
    queue_frames: Annotated[int, Field(ge=1, le=1024)] = 32
    """Pictures that may wait to be written; more are dropped and counted."""
    seed: Annotated[int, Field(ge=0, le=2**31)] = 0
    """Of the random ones: the same seed picks the same."""
    no_read: Wanted = Wanted(share=0.2)
    uncertain: Uncertain = Uncertain(share=0.2)
    implausible: Implausible = Implausible()
    alarmed: Wanted = Wanted()
    explained: Explained = Explained()
    random: Random = Random(per_minute=2.0, share=0.2)
    sure: Sure = Sure(per_minute=0.5)

    @property
    def wanted(self) -> dict[str, Wanted]:
        """The reasons by name."""
        return {key: value for key, value in self if isinstance(value, Wanted)}

    def place(self, state_dir: Path | None) -> Path | None:
        """The folder of the recordings; None where there is no place for them."""
        if self.folder is not None:
            return self.folder
        return None if state_dir is None else state_dir / "recordings"

    def rule_shares(self) -> Iterator[Broken]:
        together = sum(one.share for one in self.wanted.values())
        if together > 1.000001:
            yield Broken(
                (), f"has shares of {together:g} together: more than there is", "1 together at most"
            )
