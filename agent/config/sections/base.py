"""What every section is made from: its base class, and the types that several keys have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from agent.config.rules import Broken
from agent.config.yaml import KeyPath
from agent.redaction import mask_url


def text(pattern: str, words: str) -> Any:
    """A pattern, and how an error says it; the words are in no schema that users see."""
    return Field(pattern=pattern, json_schema_extra={"words": words})


Name = Annotated[str, text(r"^[A-Za-z0-9_-]{1,40}$", "1 to 40 letters, digits, _ or -")]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
LongSeconds = Annotated[float, Field(gt=0, le=31_536_000)]
Share = Annotated[float, Field(ge=0, le=1)]
Pixel = Annotated[int, Field(ge=0, le=16384)]
Extent = Annotated[int, Field(ge=16, le=16384)]

PARTIAL: Final = {"partial": True}
"""Validation context of a caller that wants the section with its errors instead of an exception."""
WRONG: Final = object()
"""Stands for a value whose error is named already."""


class Section(BaseModel):
    """Base of every section: frozen, and an unknown key is an error.

    A method named ``rule_...`` is a rule between keys: it yields what does not hold. A section
    with an error of type or a broken rule cannot be made, except under ``PARTIAL``: then
    ``type_errors`` has the errors of its own keys, and such a key has no value.

    No representation of a section or of its errors shows a secret: not a password in a URL either.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    _type_errors: tuple[ErrorDetails, ...] = ()

    @property
    def type_errors(self) -> tuple[ErrorDetails, ...]:
        return self._type_errors

    def broken(self) -> Iterator[Broken]:
        """Yield the rules between keys of this section that do not hold.

        A rule ends where it asks for a key that has no value.
        """
        for name, rule in vars(type(self)).items():
            if name.startswith("rule_"):
                try:
                    yield from rule(self)
                except AttributeError as error:
                    asked = type(error.obj)
                    if not issubclass(asked, Section) or error.name not in asked.model_fields:
                        raise

    def walk(self, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Section]]:
        """Yield this section and all sections in it, each with its place."""
        yield path, self
        for key, value in self:
            places = {(*path, key): value}
            if isinstance(value, tuple):
                places = {(*path, key, i): item for i, item in enumerate(value)}
            for place, item in places.items():
                if isinstance(item, Section):
                    yield from item.walk(place)

    @field_validator("*", mode="wrap")
    @classmethod
    def _wrong_stays(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        return WRONG if value is WRONG else handler(value)

    @model_validator(mode="wrap")
    @classmethod
    def _checked(
        cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo
    ) -> Self:
        if info.context is PARTIAL:
            return cls._partial(data, handler)
        section = handler(data)
        broken = tuple(section.broken())
        if broken:
            said = "; ".join(f"{'.'.join(map(str, b.path))} {b.message}" for b in broken)
            raise PydanticCustomError("broken_rules", "{text}", {"text": said, "broken": broken})
        return section

    @classmethod
    def _partial(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Made again, where it has errors, with ``WRONG`` in the place of each."""
        errors: list[ErrorDetails] = []
        try:
            section = handler(data)
        except ValidationError as error:
            errors = error.errors(include_url=False)
            keys = cls.model_fields.keys()
            known, wrong = {}, set(keys)
            if isinstance(data, dict):
                known = {key: value for key, value in data.items() if key in keys}
                wrong &= {details["loc"][0] for details in errors}
            section = handler(known | dict.fromkeys(wrong, WRONG))
        for key in [key for key, value in section if value is WRONG]:
            del section.__dict__[key]  # asked for, it is an AttributeError, as `broken` expects
        section._type_errors = tuple(errors)
        return section

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, mask_url(value) if isinstance(value, str) else value
