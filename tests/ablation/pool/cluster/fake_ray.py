"""As much of Ray as the driver asks for, its calls answered by functions of this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any


class RayError(Exception):
    pass


class ObjectStoreFullError(RayError):
    pass


class FakeRef:
    """What a call gives: answered at once, later, or never."""

    def __init__(self) -> None:
        self._future: Future[Any] = Future()

    def future(self) -> Future[Any]:
        return self._future

    def __await__(self) -> Any:
        import asyncio

        return asyncio.wrap_future(self._future).__await__()

    def set(self, answer: object) -> FakeRef:
        if isinstance(answer, Exception):
            self._future.set_exception(answer)
        else:
            self._future.set_result(answer)
        return self


class FakeActor:
    """``methods`` answer by name: with a value, an error, or ``NEVER``."""

    NEVER = object()

    def __init__(self, methods: dict[str, Callable[..., object]]) -> None:
        self.calls: list[str] = []
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        def remote(*args: object) -> FakeRef:
            self.calls.append(name)
            answer = self._methods[name](*args)
            return FakeRef() if answer is FakeActor.NEVER else FakeRef().set(answer)

        return SimpleNamespace(remote=remote)


class FakeRay:
    """``actors`` are handed out in turn; an exception among them is raised instead."""

    exceptions = SimpleNamespace(RayError=RayError, ObjectStoreFullError=ObjectStoreFullError)

    def __init__(self, actors: Sequence[FakeActor | Exception], **resources: float) -> None:
        self._actors = list(actors)
        self._resources = {"CPU": 4.0, **resources}
        self.killed: list[FakeActor] = []
        self.options: list[dict[str, object]] = []

    def nodes(self) -> list[dict[str, object]]:
        return [{"Alive": True, "Resources": self._resources}, {"Alive": False}]

    def remote(self, _class: type) -> Any:
        def options(**options: object) -> Any:
            self.options.append(options)
            return SimpleNamespace(remote=self._next)

        return SimpleNamespace(options=options)

    def kill(self, actor: FakeActor) -> None:
        self.killed.append(actor)

    def _next(self) -> FakeActor:
        actor = self._actors.pop(0) if len(self._actors) > 1 else self._actors[0]
        if isinstance(actor, Exception):
            raise actor
        return actor
