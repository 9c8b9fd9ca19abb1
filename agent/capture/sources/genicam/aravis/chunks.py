"""Values of chunks, read off a buffer of libaravis while the camera's description explains them."""

from __future__ import annotations

from collections.abc import Mapping

from agent.capture.sources.genicam.aravis.library import AravisError, Library
from agent.capture.sources.genicam.backend import Kind, Value

_OF_KIND: Mapping[Kind, str] = {
    "boolean": "boolean",
    "integer": "integer",
    "float": "float",
    "enumeration": "string",
    "string": "string",
}


class ChunkReader:
    """``nodes``: by the name of a chunk, the node that holds its value, and its kind.

    The library's parser has a description of its own, so its thread need not be the device's.
    """

    def __init__(
        self, library: Library, device: int, nodes: Mapping[str, tuple[str, Kind]]
    ) -> None:
        self._library = library
        self._nodes = {name: node for name, node in nodes.items() if node[1] in _OF_KIND}
        self._parser = library.plain("arv_device_create_chunk_parser", device) if nodes else None

    def read(self, buffer: int) -> dict[str, Value]:
        """What a complete buffer has of them; one that is not in it is left out."""
        if not self._parser or not self._library.plain("arv_buffer_has_chunks", buffer):
            return {}
        found: dict[str, Value] = {}
        for name, (node, kind) in self._nodes.items():
            function = f"arv_chunk_parser_get_{_OF_KIND[kind]}_value"
            try:
                value = self._library.checked(function, self._parser, buffer, node.encode())
            except AravisError:
                continue
            match kind:
                case "boolean":
                    found[name] = bool(value)
                case "integer" | "float":
                    found[name] = value
                case _:
                    found[name] = (value or b"").decode("utf-8", "replace")
        return found

    def close(self) -> None:
        """Release the parser."""
        if self._parser:
            self._library.plain("g_object_unref", self._parser)
            self._parser = None
