"""A TorchScript program as ordinary modules, so that its layers can be watched and replaced.

A scripted module takes no hooks: its submodules are called inside the interpreter. Without what
stands here no TorchScript file could be explained; with it the shipped model as TorchScript takes
2.8 s of one slow core, by hooks on the same modules 3.8 s, as the module it was made from 1.1 s.
torch's own converter to torch.export keeps only the layers that have weights. But a program carries
its own source, in the subset of Python that TorchScript is. Each submodule becomes a module with
the same name, the same tensors and that source as its ``forward``; where one called another's
``forward``, it now calls the module, so hooks are heard. Whoever uses a replica compares it with
the program first: source that is no Python is a ``ModelError``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any, List, Optional, Tuple  # noqa: UP035 - the names that the source uses

import torch
from torch import Tensor, nn

from agent.models.errors import ModelError, first_line


class _Named:
    """``__torch__.torch.nn.functional.relu`` and the like: functions that a program compiled in,
    by the path of the Python function they were compiled from."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Any:
        if name.startswith("___torch_mangle_"):
            return self
        found = getattr(self._target, name)
        return _Named(found) if isinstance(found, ModuleType) else found


class _Operators:
    """``torch``, and for what it lacks (``torch.dim``, ``torch.upsample_nearest2d``) its table of
    operators: in the source of a program every operator is ``torch.something``."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name) if hasattr(torch, name) else getattr(torch.ops.aten, name)


NAMES: dict[str, Any] = {
    "torch": _Operators(),
    "ops": torch.ops,
    "Tensor": Tensor,
    "List": List,  # noqa: UP006
    "Optional": Optional,
    "Tuple": Tuple,  # noqa: UP006
    "annotate": lambda _kind, value: value,
    "unchecked_cast": lambda _kind, value: value,
    "__torch__": _Named(SimpleNamespace(torch=torch)),
    "inf": math.inf,
    "nan": math.nan,
}
"""What the printed source of a program refers to."""


class Replica(nn.Module):
    """One module of a program. ``ModelError`` for source that does not compile."""

    def __init__(self, program: torch.jit.ScriptModule) -> None:
        super().__init__()
        for name, parameter in program.named_parameters(recurse=False):
            self.register_parameter(name, nn.Parameter(parameter.detach(), requires_grad=False))
        for name, buffer in program.named_buffers(recurse=False):
            self.register_buffer(name, buffer.detach())
        for name, child in program.named_children():
            assert isinstance(child, torch.jit.ScriptModule)
            self.add_module(name, Replica(child))
        # Past nn.Module's own setter: the program itself must not become a submodule.
        object.__setattr__(self, "_program", program)
        methods = program._c._method_names()
        object.__setattr__(self, "_sources", {name: _compiled(program, name) for name in methods})

    def forward(self, *inputs: Any) -> Any:
        return self._sources["forward"](self, *inputs)

    def __getattr__(self, name: str) -> Any:
        """Parameters and submodules; other methods of the program; then numbers, lists and the
        like that its source reads off ``self``."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name in self.__dict__.get("_sources", {}):
                return functools.partial(self._sources[name], self)
            if name.startswith("__") or "_program" not in self.__dict__:
                raise
            return getattr(self._program, name)


class Whole(Replica):
    """The program itself, which takes one batch of pictures: a tracer needs to know that."""

    def forward(self, x: Tensor) -> Any:
        return self._sources["forward"](self, x)


def replica(program: torch.jit.ScriptModule, name: str) -> Replica:
    """The program as modules in eval mode; it shares the program's tensors."""
    try:
        return Whole(program).eval()
    except (RuntimeError, SyntaxError, AttributeError, TypeError, NameError) as error:
        line = first_line(error)
        raise ModelError(f"{name}: its layers cannot be named: {line}") from error


def _compiled(program: torch.jit.ScriptModule, method: str) -> Callable[..., Any]:
    source, constants = program._c._get_method(method).code_with_constants
    source = source.replace(").forward(", ")(")
    names = {**NAMES, "CONSTANTS": SimpleNamespace(**constants)}
    exec(compile(source, f"<{method}>", "exec"), names)  # noqa: S102 - trusted like the program
    found: Callable[..., Any] = names[method]
    return found
