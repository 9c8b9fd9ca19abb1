"""What callers of the library give, as what the code works with; a clear error for anything else.

A name may come as a word, a number from numpy, one class without a tuple around it. Each is
converted where it enters, so that everything behind may compare with ``is`` and count on types. An
unknown name is refused with the list of those there are: it never means the default.
"""

from __future__ import annotations

import enum
import math
import operator
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, SupportsFloat, TypeVar

import numpy as np

from agent.ablation.core.errors import AblationError, CallbackError, LateError

Given = ParamSpec("Given")
Word = TypeVar("Word", bound=enum.StrEnum)


def named(kind: type[Word], what: str, value: object) -> Word:
    """The member of ``kind`` that ``value`` is or spells."""
    return kind(one_of(what, value, list(kind)))


def one_of(what: str, value: object, names: Iterable[str]) -> str:
    """``value``, one of ``names``."""
    known = [str(name) for name in names]
    if not isinstance(value, str) or str(value) not in known:
        raise AblationError(f"no {what} {_shown(value)}; there are: {', '.join(known)}")
    return str(value)


def words(what: str, value: object) -> tuple[str, ...]:
    """One word or several, each once; at least one."""
    found = (value,) if isinstance(value, str) else _several(what, value)
    for one in found:
        if not isinstance(one, str):
            raise AblationError(f"{what}: expected names, found {_shown(one)}")
    unique(what, found)
    return tuple(str(one) for one in found)


def unique(what: str, values: Iterable[object]) -> None:
    """``AblationError`` for none at all, or for one that comes twice."""
    known = list(values)
    if not known:
        raise AblationError(f"{what}: expected at least one, found none")
    for place, one in enumerate(known):
        if one in known[:place]:
            raise AblationError(f"{what}: {_shown(one)} stands there twice")


def integer(what: str, value: object, least: int | None = None, most: int | None = None) -> int:
    """A whole number, of numpy or torch as well; no bool, no float, not even a whole one."""
    odd = isinstance(value, bool) or "bool" in str(getattr(value, "dtype", ""))
    try:
        found = None if odd else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        found = None
    if found is None:
        raise AblationError(f"{what}: expected a whole number, found {_shown(value)}")
    if (least is not None and found < least) or (most is not None and found > most):
        bounds = f"at least {least}" if most is None else f"{least} to {most}"
        raise AblationError(f"{what}: expected {bounds}, found {found}")
    return found


def number(what: str, value: object) -> float:
    """A finite number, of numpy or torch as well; no bool, no word."""
    odd = isinstance(value, bool | np.bool_ | str | bytes)
    if odd or not isinstance(value, SupportsFloat):
        raise AblationError(f"{what}: expected a number, found {_shown(value)}")
    try:
        found = float(value)
    except (TypeError, ValueError, RuntimeError):
        raise AblationError(f"{what}: expected a number, found {_shown(value)}") from None
    if not math.isfinite(found):
        raise AblationError(f"{what}: expected a finite number, found {found}")
    return found


def switch(what: str, value: object) -> bool:
    """True or false, of numpy as well: a word such as "no" would count as true."""
    if not isinstance(value, bool | np.bool_):
        raise AblationError(f"{what}: expected True or False, found {_shown(value)}")
    return bool(value)


def callback(what: str, value: Callable[Given, None] | None) -> Callable[Given, None]:
    """``value``, or nothing to be done. What it raises is the caller's own: it passes whatever
    handles the network's errors, up to ``callbacks_errors``. ``LateError`` has its meaning."""
    if value is not None and not callable(value):
        raise AblationError(f"{what}: expected a function, found {_shown(value)}")

    def call(*arguments: Given.args, **named: Given.kwargs) -> None:
        if value is None:
            return
        try:
            value(*arguments, **named)
        except LateError:
            raise
        except Exception as error:
            raise CallbackError(error) from error

    return call


@contextmanager
def callbacks_errors() -> Iterator[None]:
    """An error that a ``callback`` raised leaves as the error that it was."""
    try:
        yield
    except CallbackError as stop:
        raise stop.error from stop.error.__cause__


def instance(kind: type, what: str, value: object) -> None:
    """``AblationError`` unless ``value`` is of ``kind``."""
    if not isinstance(value, kind):
        raise AblationError(f"{what}: expected {kind.__name__}, found {_shown(value)}")


def _several(what: str, value: object) -> tuple[object, ...]:
    if not isinstance(value, Iterable) or isinstance(value, bytes):
        raise AblationError(f"{what}: expected names, found {_shown(value)}")
    return tuple(value)


def _shown(value: object) -> str:
    """As an error shows it: no array in full."""
    if isinstance(value, str):
        return repr(str(value))
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    shape = getattr(value, "shape", None)
    inside = "" if shape is None else f" of shape {tuple(shape)}"
    return f"a {type(value).__name__}{inside}"
