"""Values of chunks of a producer's buffer, through the camera's own nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from genicam import genapi, gentl

from agent.capture.source import SourceError
from agent.capture.sources.genicam.backend import NodeError, Value
from agent.capture.sources.genicam.chunks import value_node
from agent.capture.sources.genicam.gentl.nodes import GentlNodes

_ADAPTERS: Final[Mapping[str, type]] = {
    "GigE": genapi.ChunkAdapterGEV,
    "USB3": genapi.ChunkAdapterU3V,
}
"""How chunks lie in a buffer, by the transport; elsewhere the producer says where each is."""
_REFUSALS: Final = (genapi.GenericException, gentl.GenericException, AttributeError)


class GentlChunks:
    """A buffer is attached to the nodes for as long as it is read, so that no value is left over
    from the picture before. ``wanted``: names of ``ChunkSelector``."""

    def __init__(
        self, node_map: Any, nodes: GentlNodes, transport: str, wanted: Sequence[str]
    ) -> None:
        self._nodes = nodes
        names = nodes.names() if wanted else ()
        found = {chunk: value_node(chunk, names) for chunk in wanted}
        self._values = {chunk: node for chunk, node in found.items() if node}
        self._laid_out = transport in _ADAPTERS
        made = _ADAPTERS.get(transport, genapi.ChunkAdapterGeneric)
        self._adapter = made(node_map) if self._values else None

    def read(self, raw: Any) -> dict[str, Value]:
        """What a complete buffer has; nothing of one whose layout cannot be understood."""
        if self._adapter is None:
            return {}
        try:
            self._attach(raw)
            return self._attached()
        except _REFUSALS:
            return {}
        finally:
            with suppress(*_REFUSALS):
                self._adapter.detach_buffer()

    def _attach(self, raw: Any) -> None:
        assert self._adapter is not None
        if self._laid_out:
            self._adapter.attach_buffer(raw.raw_buffer, _filled(raw))
        else:
            self._adapter.attach_buffer(raw.raw_buffer, raw.chunk_data_info_list)

    def _attached(self) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for chunk, node in self._values.items():
            with suppress(NodeError, SourceError):
                found[chunk] = self._nodes.read(node)
        return found


def _filled(raw: Any) -> int:
    """Bytes of the buffer that are in use."""
    for name in ("delivered_chunk_payload_size", "size_filled"):
        with suppress(*_REFUSALS):
            return int(getattr(raw, name))
    return len(raw.raw_buffer)
