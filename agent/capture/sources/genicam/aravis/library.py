"""libaravis 0.8 as it is called: its C functions with their types, and its errors as exceptions.

The library is Debian's ``libaravis-0.8-0``, called in the capture child itself. Its bindings for
Python belong to the system's own Python; a second process for them would cost a copy of every
picture. ``ctypes`` gives up the interpreter's lock for the length of every call.
"""

from __future__ import annotations

import ctypes
import functools
import re
from ctypes import (
    POINTER,
    byref,
    c_char_p,
    c_double,
    c_int,
    c_int64,
    c_size_t,
    c_uint,
    c_uint32,
    c_uint64,
    c_void_p,
)
from typing import Any, Final

LIBRARIES: Final = (
    "libaravis-0.8.so.0",
    "libgobject-2.0.so.0",
    "libgio-2.0.so.0",
    "libglib-2.0.so.0",
)
PACKAGE: Final = "Debian's and Ubuntu's package libaravis-0.8-0"


class _GError(ctypes.Structure):
    _fields_ = (("domain", c_uint32), ("code", c_int), ("message", c_char_p))


class _GSList(ctypes.Structure):
    pass


_GSList._fields_ = (("data", c_void_p), ("next", POINTER(_GSList)))

_GErrorPointer = POINTER(_GError)
_P, _S = c_void_p, c_char_p

# name -> (result, arguments); of GLib's own functions and of those that cannot fail.
_PLAIN: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "g_object_unref": (None, (_P,)),
    "g_object_set": (None, (_P, _S, c_int, _P)),
    "g_free": (None, (_P,)),
    "g_error_free": (None, (_GErrorPointer,)),
    "g_quark_to_string": (_S, (c_uint32,)),
    "g_type_check_instance_is_a": (c_int, (_P, c_size_t)),
    "g_inet_address_new_from_string": (_P, (_S,)),
    "arv_update_device_list": (None, ()),
    "arv_disable_interface": (None, (_S,)),
    "arv_get_n_devices": (c_uint, ()),
    "arv_get_device_id": (_S, (c_uint,)),
    "arv_get_device_vendor": (_S, (c_uint,)),
    "arv_get_device_model": (_S, (c_uint,)),
    "arv_get_device_serial_nbr": (_S, (c_uint,)),
    "arv_get_device_protocol": (_S, (c_uint,)),
    "arv_get_device_address": (_S, (c_uint,)),
    "arv_device_get_feature": (_P, (_P, _S)),
    "arv_device_get_genicam_xml": (_P, (_P, POINTER(c_size_t))),
    "arv_device_set_register_cache_policy": (None, (_P, c_int)),
    "arv_device_set_range_check_policy": (None, (_P, c_int)),
    "arv_device_set_access_check_policy": (None, (_P, c_int)),
    "arv_gv_device_is_controller": (c_int, (_P,)),
    "arv_gv_device_set_stream_options": (None, (_P, c_int)),
    "arv_gv_device_set_packet_size_adjustment": (None, (_P, c_int)),
    "arv_gc_feature_node_get_name": (_S, (_P,)),
    "arv_gc_feature_node_get_actual_access_mode": (c_int, (_P,)),
    "arv_gc_category_get_features": (POINTER(_GSList), (_P,)),
    "arv_gc_integer_get_unit": (_S, (_P,)),
    "arv_gc_float_get_unit": (_S, (_P,)),
    "arv_buffer_new_allocate": (_P, (c_size_t,)),
    "arv_buffer_get_status": (c_int, (_P,)),
    "arv_buffer_get_payload_type": (c_int, (_P,)),
    "arv_buffer_get_timestamp": (c_uint64, (_P,)),
    "arv_buffer_get_system_timestamp": (c_uint64, (_P,)),
    "arv_buffer_get_frame_id": (c_uint64, (_P,)),
    "arv_buffer_set_frame_id": (None, (_P, c_uint64)),
    "arv_buffer_get_data": (_P, (_P, POINTER(c_size_t))),
    "arv_buffer_get_image_data": (_P, (_P, POINTER(c_size_t))),
    "arv_buffer_get_image_pixel_format": (c_uint32, (_P,)),
    "arv_buffer_get_image_width": (c_int, (_P,)),
    "arv_buffer_get_image_height": (c_int, (_P,)),
    "arv_buffer_get_image_padding": (None, (_P, POINTER(c_int), POINTER(c_int))),
    "arv_buffer_has_chunks": (c_int, (_P,)),
    "arv_device_create_chunk_parser": (_P, (_P,)),
    "arv_stream_push_buffer": (None, (_P, _P)),
    "arv_stream_stop_thread": (c_uint, (_P, c_int)),
    "arv_stream_try_pop_buffer": (_P, (_P,)),
    "arv_stream_timeout_pop_buffer": (_P, (_P, c_uint64)),
    "arv_stream_get_n_infos": (c_uint, (_P,)),
    "arv_stream_get_info_name": (_S, (_P, c_uint)),
    "arv_stream_get_info_uint64": (c_uint64, (_P, c_uint)),
    **{
        f"arv_gc_{kind}_get_type": (c_size_t, ())
        for kind in (
            "boolean",
            "category",
            "command",
            "enumeration",
            "feature_node",
            "float",
            "integer",
            "string",
        )
    },
}

# Those that end with a GError**, which is not named here.
_CHECKED: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "arv_gv_device_new": (_P, (_P, _P)),
    "arv_gv_device_leave_control": (c_int, (_P,)),
    "arv_open_device": (_P, (_S,)),
    "arv_device_create_stream": (_P, (_P, _P, _P)),
    "arv_device_read_register": (c_int, (_P, c_uint64, POINTER(c_uint32))),
    "arv_device_execute_command": (None, (_P, _S)),
    "arv_device_get_boolean_feature_value": (c_int, (_P, _S)),
    "arv_device_set_boolean_feature_value": (None, (_P, _S, c_int)),
    "arv_device_get_string_feature_value": (_S, (_P, _S)),
    "arv_device_set_string_feature_value": (None, (_P, _S, _S)),
    "arv_device_get_integer_feature_value": (c_int64, (_P, _S)),
    "arv_device_set_integer_feature_value": (None, (_P, _S, c_int64)),
    "arv_device_get_integer_feature_bounds": (
        None,
        (_P, _S, POINTER(c_int64), POINTER(c_int64)),
    ),
    "arv_device_get_integer_feature_increment": (c_int64, (_P, _S)),
    "arv_device_get_float_feature_value": (c_double, (_P, _S)),
    "arv_device_set_float_feature_value": (None, (_P, _S, c_double)),
    "arv_device_get_float_feature_bounds": (
        None,
        (_P, _S, POINTER(c_double), POINTER(c_double)),
    ),
    "arv_device_dup_available_enumeration_feature_values_as_strings": (
        _P,
        (_P, _S, POINTER(c_uint)),
    ),
    "arv_gc_feature_node_is_implemented": (c_int, (_P,)),
    "arv_gc_feature_node_is_available": (c_int, (_P,)),
    "arv_gc_feature_node_is_locked": (c_int, (_P,)),
    "arv_chunk_parser_get_integer_value": (c_int64, (_P, _P, _S)),
    "arv_chunk_parser_get_float_value": (c_double, (_P, _P, _S)),
    "arv_chunk_parser_get_string_value": (_S, (_P, _P, _S)),
    "arv_chunk_parser_get_boolean_value": (c_int, (_P, _P, _S)),
}

_NODE_NAME: Final = re.compile(rb"""\bName=["']([A-Za-z_][A-Za-z0-9_]*)["']""")

_ADDED: Final = (
    "GevHeartbeatTimeout",
    "GevSCPD",
    "GevSCPSPacketSize",
    "GevTimestampControlLatch",
    "GevTimestampTickFrequency",
    "GevTimestampValue",
    "TLParamsLocked",
)
"""Nodes of the standard's own registers, which a description may leave out."""

DEVICE_ERROR: Final = "arv-device-error-quark"
NOT_CONNECTED, TRANSFER_ERROR, TIMED_OUT, NOT_FOUND = 2, 4, 5, 6
NOT_CONTROLLER, ACCESS_DENIED, BUSY = 10, 17, 18
"""Of ``ArvDeviceError``."""


class AravisError(Exception):
    """What the library refused: ``code`` of ``ArvDeviceError`` where it is one, else None."""

    def __init__(self, text: str, code: int | None) -> None:
        super().__init__(text)
        self.code = code

    @property
    def lost(self) -> bool:
        """Whether it says that nothing answers or that control is another's, not what was asked."""
        return self.code in (NOT_CONNECTED, TRANSFER_ERROR, TIMED_OUT, NOT_CONTROLLER)


class Library:
    """The loaded library. ``OSError`` where it is not installed."""

    def __init__(self) -> None:
        self._libraries = [ctypes.CDLL(name) for name in LIBRARIES]

    @functools.cache  # noqa: B019 - one library a process, for its life
    def _function(self, name: str, checked: bool) -> Any:
        result, arguments = (_CHECKED if checked else _PLAIN)[name]
        for library in self._libraries:
            function = getattr(library, name, None)
            if function is not None:
                function.restype = result
                function.argtypes = (*arguments, POINTER(_GErrorPointer)) if checked else arguments
                return function
        raise AttributeError(f"{LIBRARIES[0]} has no {name}")

    def plain(self, name: str, *arguments: Any) -> Any:
        """Call a function that cannot fail."""
        return self._function(name, checked=False)(*arguments)

    def checked(self, name: str, *arguments: Any) -> Any:
        """Call a function that may fail. ``AravisError``."""
        error = _GErrorPointer()
        result = self._function(name, checked=True)(*arguments, byref(error))
        if not error:
            return result
        said = (error.contents.message or b"").decode("utf-8", "replace")
        domain = (self.plain("g_quark_to_string", error.contents.domain) or b"").decode()
        code = int(error.contents.code) if domain == DEVICE_ERROR else None
        self.plain("g_error_free", error)
        raise AravisError(said, code)

    def texts_of_category(self, node: int) -> list[str]:
        """Names of the features of a category, in its order."""
        found, each = [], self.plain("arv_gc_category_get_features", node)
        while each:
            name = ctypes.cast(each.contents.data or 0, c_char_p).value
            found.append((name or b"").decode("utf-8", "replace"))
            each = each.contents.next
        return found

    def names_of_file(self, device: int) -> list[str]:
        """Names of all nodes in the camera's own description, in its order, then those that the
        library may have added."""
        size = c_size_t()
        begin = self.plain("arv_device_get_genicam_xml", device, byref(size))
        text = ctypes.string_at(begin, size.value) if begin else b""
        return [*(name.decode() for name in _NODE_NAME.findall(text)), *_ADDED]

    def entries(self, device: int, name: str) -> tuple[str, ...]:
        """Symbols of an enumeration that can be chosen now. ``AravisError``."""
        count = c_uint()
        array = self.checked(
            "arv_device_dup_available_enumeration_feature_values_as_strings",
            device,
            name.encode(),
            byref(count),
        )
        if not array:
            return ()
        texts = ctypes.cast(array, POINTER(c_char_p))
        found = tuple((texts[at] or b"").decode("utf-8", "replace") for at in range(count.value))
        self.plain("g_free", array)
        return found

    def is_a(self, node: int, kind: str) -> bool:
        """Whether a node is of ``kind``: boolean, category, command, enumeration and others."""
        of_kind = self.plain(f"arv_gc_{kind}_get_type")
        return bool(self.plain("g_type_check_instance_is_a", node, of_kind))
