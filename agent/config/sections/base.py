"""What every section is made from: its base class, and the types that several keys have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from agent.config.rules import Broken
from agent.redaction import mask_url

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
LongSeconds = Annotated[float, Field(gt=0, le=31_536_000)]
Share = Annotated[float, Field(ge=0, le=1)]
Pixel = Annotated[int, Field(ge=0, le=16384)]
Extent = Annotated[int, Field(ge=16, le=16384)]

RULES_LATER: Final = {"rules": "later"}
"""Validation context of a caller that walks ``broken`` itself, to collect all of them."""


class Section(BaseModel):
    """Base of every section: frozen, and an unknown key is an error.

    No representation of a section or of its errors shows a secret: not a password in a URL either.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    def broken(self) -> Iterator[Broken]:
        """Yield the rules between keys of this section that do not hold."""
        yield from ()

    @model_validator(mode="after")
    def _rules_hold(self, info: ValidationInfo) -> Section:
        if info.context is RULES_LATER:
            return self
        broken = tuple(self.broken())
        if broken:
            text = "; ".join(f"{'.'.join(map(str, b.path))} {b.message}" for b in broken)
            raise PydanticCustomError("broken_rules", "{text}", {"text": text, "broken": broken})
        return self

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, mask_url(value) if isinstance(value, str) else value
