"""Chunks: what a camera puts into a picture is read off it, and what it leaves out is skipped."""

from __future__ import annotations

import ctypes
import math
import re
import struct
import sys
from ctypes import byref, c_size_t
from pathlib import Path

import pytest

from agent.capture.sources.genicam.aravis.device import Device
from agent.capture.sources.genicam.backend import Buffer
from agent.capture.sources.genicam.chunks import LONGEST_TEXT, completed, missing, value_node
from agent.capture.sources.genicam.gige import gvcp
from tests.capture.genicam.networks import THERE, FarSide
from tests.capture.genicam.test_aravis import opened, own_network

PORTS = {"FrameID": 0xA1, "ExposureTime": 0xA2, "LineStatus": 0xA3, "Mode": 0xA4, "Gain": 0xA5}
DESCRIBED = """
<Port Name="PortFrameID"><ChunkID>a1</ChunkID></Port>
<Port Name="PortExposureTime"><ChunkID>a2</ChunkID></Port>
<Port Name="PortMode"><ChunkID>a4</ChunkID></Port>
<Port Name="PortGain"><ChunkID>a5</ChunkID></Port>
<IntReg Name="ChunkFrameID"><Address>0</Address><Length>4</Length><AccessMode>RO</AccessMode>
<pPort>PortFrameID</pPort><Sign>Unsigned</Sign><Endianess>BigEndian</Endianess></IntReg>
<FloatReg Name="ChunkExposureTime"><Address>0</Address><Length>8</Length><AccessMode>RO</AccessMode>
<pPort>PortExposureTime</pPort><Endianess>BigEndian</Endianess></FloatReg>
<FloatReg Name="ChunkGain"><Address>0</Address><Length>8</Length><AccessMode>RO</AccessMode>
<pPort>PortGain</pPort><Endianess>BigEndian</Endianess></FloatReg>
<Enumeration Name="ChunkMode"><EnumEntry Name="Day"><Value>0</Value></EnumEntry>
<EnumEntry Name="Night"><Value>1</Value></EnumEntry><pValue>ModeRegister</pValue></Enumeration>
<IntReg Name="ModeRegister"><Address>0</Address><Length>4</Length><AccessMode>RO</AccessMode>
<pPort>PortMode</pPort><Sign>Unsigned</Sign><Endianess>BigEndian</Endianess></IntReg>
"""
"""Chunk nodes in the words of a camera's description."""
WIDTH, HEIGHT = 32, 16
IMAGE, CHUNK = 0x4001, 0x0004
"""Payload types of GigE Vision: a picture with chunks behind it, and the older form."""
MONO8 = 0x01080001
STREAM_PORT = 0x0D00
"""Register: the port of this computer to which the camera sends."""
SEND = """
import socket, sys
port, *packets = sys.argv[2:]
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.bind((sys.argv[1], 0))
for one in packets:
    link.sendto(bytes.fromhex(one), (%r, int(port)))
"""


def test_the_value_of_a_chunk_is_in_the_node_of_its_name() -> None:
    names = ["ChunkSelector", "ChunkGain", "ChunkFramecounter"]
    assert value_node("Gain", names) == "ChunkGain"
    assert value_node("FrameCounter", names) == "ChunkFramecounter"
    assert value_node("Image", names) == ""


def test_every_chunk_that_is_wanted_is_there_and_nan_where_the_picture_has_it_not() -> None:
    values = completed(("Gain", "Mode", "FrameID"), {"Gain": 6.0, "Mode": "x" * 999, "Other": 1})
    assert values["Gain"] == 6.0
    assert values["Mode"] == "x" * LONGEST_TEXT
    assert math.isnan(values["FrameID"])
    assert missing(("Gain", "FrameID"), {"Gain": 6.0}) == ["FrameID"]


def payload(frame_id: int, exposure_us: float) -> bytes:
    """A picture and its chunks, each behind its data: number and size. There is no Gain."""
    picture = bytes(range(256)) * (WIDTH * HEIGHT // 256)
    made = picture + struct.pack(">II", 0x1, len(picture))
    for number, data in (
        (PORTS["FrameID"], struct.pack(">I", frame_id)),
        (PORTS["ExposureTime"], struct.pack(">d", exposure_us)),
        (PORTS["Mode"], struct.pack(">I", 1)),
    ):
        made += data + struct.pack(">II", number, len(data))
    return made


def packets(kind: int, frame_id: int, content: bytes) -> list[str]:
    """The stream's packets (GVSP) of one picture, as hexadecimal texts."""
    header = struct.Struct(">HHI")
    shape = struct.pack(">IIIIIHH", MONO8, WIDTH, HEIGHT, 0, 0, 0, 0) if kind == IMAGE else b""
    leader = header.pack(0, frame_id, 1 << 24) + struct.pack(">HHII", 0, kind, 0, 5) + shape
    data = header.pack(0, frame_id, 3 << 24 | 1) + content
    trailer = header.pack(0, frame_id, 2 << 24 | 2) + struct.pack(">II", kind, HEIGHT)
    return [one.hex() for one in (leader, data, trailer)]


def described(far: FarSide, folder: Path) -> Path:
    """The fake camera's own description, with chunks in it."""
    far.power_on()
    device = opened()
    size = c_size_t()
    begin = device._library.plain("arv_device_get_genicam_xml", device._handle, byref(size))
    text = ctypes.string_at(begin, size.value).decode()
    device.close()
    far.power_off()
    file = folder / "camera.xml"
    head, end, _ = text.rpartition("</RegisterDescription>")
    head = re.sub(r"(?s)(Name=\"PayloadSize\".*?<Formula>.*?)(</Formula>)", r"\1 + 256\2", head)
    file.write_text(head + DESCRIBED + end)
    return file


def received(device: Device) -> Buffer:
    buffer = device.next(10.0)
    assert buffer is not None
    return buffer


def test_libaravis_reads_chunks_off_each_picture(tmp_path: Path) -> None:
    """The fake camera has no chunks: its description is extended, and pictures that hold some are
    sent to the stream from its address, in both forms of GigE Vision."""

    @own_network
    def body(far: FarSide) -> None:
        far.power_on(description=described(far, tmp_path))
        device = opened()
        device.write("Width", WIDTH)
        device.write("Height", HEIGHT)
        device.write("GevSCPSPacketSize", 1500)
        device.write("TriggerSource", "Software")
        device.write("TriggerMode", "On")  # it sends nothing itself
        wanted = ("FrameID", "ExposureTime", "Mode", "Gain", "Image")
        device.start(4, wanted)
        port = gvcp.read_register(THERE, STREAM_PORT)
        for kind, frame_id, exposure_us in ((IMAGE, 7, 800.0), (CHUNK, 8, 901.5)):
            content = payload(frame_id, exposure_us)
            sent = packets(kind, frame_id, content)
            far.inside(sys.executable, "-c", SEND % "10.9.0.1", THERE, str(port), *sent)
            buffer = received(device)
            assert buffer.problem == ""
            assert (buffer.width_px, buffer.height_px, buffer.pixel_format) == (32, 16, "Mono8")
            assert buffer.data[: WIDTH * HEIGHT].tobytes() == content[: WIDTH * HEIGHT]
            assert buffer.chunks == {
                "FrameID": frame_id, "ExposureTime": exposure_us, "Mode": "Night",
            }  # fmt: skip
        device.close()

    body()


HEAD = """<?xml version="1.0" encoding="utf-8"?>
<RegisterDescription ModelName="m" VendorName="v" ToolTip="" StandardNameSpace="None"
 SchemaMajorVersion="1" SchemaMinorVersion="1" SchemaSubMinorVersion="0" MajorVersion="1"
 MinorVersion="0" SubMinorVersion="0" ProductGuid="1F3C6A72-7842-4edd-9130-E2E90A2058BA"
 VersionGuid="7645D2A1-A41E-4ac6-B486-1531FB7BECE6"
 xmlns="http://www.genicam.org/GenApi/Version_1_1">
"""


class Filled:
    """A producer's buffer that says nothing but its bytes."""

    def __init__(self, content: bytes) -> None:
        self.raw_buffer = content


def test_genapi_reads_chunks_off_each_buffer_and_nothing_off_one_that_is_none() -> None:
    genapi = pytest.importorskip("genicam.genapi", reason="the extra genicam is not installed")
    from agent.capture.sources.genicam.gentl.chunks import GentlChunks
    from agent.capture.sources.genicam.gentl.nodes import GentlNodes

    nodes = genapi.NodeMap()
    nodes.load_xml_from_string(HEAD + DESCRIBED + "</RegisterDescription>")
    wanted = ("FrameID", "ExposureTime", "Mode", "Gain", "Image")
    chunks = GentlChunks(nodes, GentlNodes(nodes), "GigE", wanted)
    whole = {"FrameID": 7, "ExposureTime": 800.0, "Mode": "Night"}
    assert chunks.read(Filled(payload(7, 800.0))) == whole
    for torn in (b"", b"xx", bytes(2000), payload(8, 1.0)[:-2]):
        assert chunks.read(Filled(torn)) == {}, "nothing is left over from the picture before"
    assert chunks.read(Filled(payload(9, 800.0))) == {**whole, "FrameID": 9}
    assert GentlChunks(nodes, GentlNodes(nodes), "CL", wanted).read(Filled(payload(7, 1.0))) == {}
