"""The stream of a GigE camera that sees fruit: the simulator's pictures, sent as the camera at an
address would send them. ``python -m tests.soak.fruit_camera ADDRESS HOST``

Aravis' fake camera beside it answers for the features, and sends nothing itself: its trigger waits.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator

import cv2

from agent.capture.sources.genicam.gige import gvcp
from agent.config import Camera
from agent.simulator.source import open_source

SIM = "sim:?rate=280&seed=11"
HOST_PORT = 0x0D00
"""Register: to which port of the computer the camera sends; 0 before a stream is there."""
IMAGE, RGB8, LAST_ID = 0x0001, 0x02180014, 65535
PACKET_BYTES, HEADER_BYTES = 8000, 36
"""Of a packet: its part of the picture, and the headers of IP, UDP and GVSP before it."""
OPTIONS = (
    "features=TriggerSource=Software,TriggerMode=On&roi=0,0,256,256&pixel_format=RGB8"
    f"&packet_size={PACKET_BYTES + HEADER_BYTES}"
)
"""What the source is told, so that the camera sends nothing and the pictures fit."""
LEADER, TRAILER, PAYLOAD = 1 << 24, 2 << 24, 3 << 24
_HEADER = struct.Struct(">HHI")


def packets(frame_id: int, width: int, height: int, data: bytes) -> Iterator[bytes]:
    """Packets of GVSP: a leader, the bytes in order, a trailer."""
    shape = struct.pack(">IIIIIHH", RGB8, width, height, 0, 0, 0, 0)
    yield _HEADER.pack(0, frame_id, LEADER) + struct.pack(">HHII", 0, IMAGE, 0, 0) + shape
    number = 0
    for number, begin in enumerate(range(0, len(data), PACKET_BYTES), 1):
        yield _HEADER.pack(0, frame_id, PAYLOAD | number) + data[begin : begin + PACKET_BYTES]
    end = struct.pack(">II", IMAGE, height)
    yield _HEADER.pack(0, frame_id, TRAILER | number + 1) + end


def main(address: str, host: str) -> None:
    """Send until the process is ended."""
    source = open_source(Camera(name="sent", source=SIM))
    source.open()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.bind((address, 0))
        frame_id = 0
        while True:
            picture = source.read()
            port = gvcp.read_register(address, HOST_PORT)
            if picture is None or not port:
                continue
            frame_id = frame_id % LAST_ID + 1
            height, width = picture.image.shape[:2]
            data = cv2.cvtColor(picture.image, cv2.COLOR_BGR2RGB).tobytes()
            for packet in packets(frame_id, width, height, data):
                link.sendto(packet, (host, port))


if __name__ == "__main__":
    main(*sys.argv[1:])
