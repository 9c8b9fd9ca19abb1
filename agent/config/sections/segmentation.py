"""``segmentation``: from mask to reading."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from agent.config.sections.base import Section, Share


class Segmentation(Section):
    """From mask to reading."""

    batch_max: Annotated[int, Field(ge=1, le=64)] = 8
    batches: Literal["proven", "trusted"] = "proven"
    """Whether several pictures go through a network in one pass only where its graph shows that
    none changes what is read of another, or wherever it takes several."""
    min_suture_area: Share = 0.004
    """Share of the aperture that suture pixels must cover for a line to be fitted."""
    min_confidence: Share = 0.5
    min_plausibility: Share = 0.5
    """A picture less like the fruit that the model was made for is not read; 0: all are. A line's
    own reference may ask for more. Without effect where the model has no statistics of fruit."""
    empty_brightness: Annotated[float, Field(ge=0, le=255)] = 30.0
    """A cup whose aperture is darker than this grey level on over half of its area is empty."""
    empty_chroma: Annotated[float, Field(ge=0, le=255)] = 35.0
    """So is one without suture and stem whose mean chroma (largest minus smallest of the three
    colour values) is below this: bare metal or rubber. 0: not judged, for grey cameras."""
    dark_chromaticity: Annotated[float, Field(ge=0, le=4)] = 0.5
    """A dark cup filled with a colour whose red minus blue is at least this share of its grey level
    is a fruit without light, no empty cup. 0: not judged, for cups of such a colour."""
