"""Coded pictures: what comes out when, and what is damaged."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from agent.capture.source import PictureError
from agent.capture.sources.decoder import Decoder, quiet_library, size_of, to_bgr

COUNT = 30
KEY_EVERY = 12
HIT = 15
DECODERS = {"libx264": "h264", "libx265": "hevc", "mjpeg": "mjpeg", "mpeg4": "mpeg4"}
Change = Callable[[bytes], bytes]


def coded(codec: str, **options: str) -> list[tuple[int, bytes]]:
    """(stamp, data) of a fruit that moves over a grainy belt, in the order of sending."""
    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, av.video.codeccontext.VideoCodecContext)
    context.width, context.height, context.time_base = 320, 240, Fraction(1, 10)
    context.framerate, context.options = Fraction(10), options
    context.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    belt = np.random.default_rng(1).integers(0, 160, (240, 320, 3), np.uint8)
    packets = []
    for number in range(COUNT):
        image = belt.copy()
        image[40:80, 8 * number : 8 * number + 40] = 200
        frame = VideoFrame.from_ndarray(image, "bgr24").reformat(format=context.pix_fmt)
        frame.pts = number
        packets += context.encode(frame)
    packets += context.encode(None)
    return [(packet.pts, bytes(packet)) for packet in packets]


def x264(**options: str) -> list[tuple[int, bytes]]:
    still = {"g": str(KEY_EVERY), "sc_threshold": "0", "threads": "1", "tune": "zerolatency"}
    return coded("libx264", **{**still, **options})


def played(
    codec: str, packets: list[tuple[int, bytes]], torn: int | None = None
) -> tuple[list[list[int]], list[str]]:
    """Stamps of the pictures that came out at each packet, and the errors."""
    quiet_library()
    decoder = Decoder(av.CodecContext.create(codec, "r"))
    out: list[list[int]] = []
    errors: list[str] = []
    for stamp, data in packets:
        packet = av.Packet(data)
        packet.pts = stamp
        came = decoder.decode(packet, torn=stamp == torn)
        errors += [each.detail for each in came if isinstance(each, PictureError)]
        out.append([each.pts for each in came if isinstance(each, VideoFrame)])
    last = [each.pts for each in decoder.drain() if isinstance(each, VideoFrame)]
    return [*out, last], errors


@pytest.mark.parametrize("threads", ["1", "2", "8", "16"])
def test_a_picture_comes_out_when_it_went_in_whatever_threads_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, threads: str
) -> None:
    monkeypatch.setenv("OPENCV_FFMPEG_THREADS", threads)
    out, errors = played("h264", x264())
    assert out == [[number] for number in range(COUNT)] + [[]]
    assert errors == []


def test_pictures_that_wait_for_their_order_come_in_order_and_when_drained() -> None:
    packets = coded("libx264", g=str(KEY_EVERY), bf="2")
    stamps = [stamp for stamp, _ in packets]
    assert stamps != sorted(stamps), "this stream has B-pictures"
    out, errors = played("h264", packets)
    assert [number for come in out for number in come] == list(range(COUNT))
    assert len(out[-1]) == 2
    assert errors == []


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def hole(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(200) + data[middle + 200 :]


def without_last_slice(data: bytes) -> bytes:
    return data[: [match.start() for match in re.finditer(b"\0\0\1", data)][-1]]


@pytest.mark.parametrize(
    ("packets", "change"),
    [(x264, half), (x264, hole), (lambda: x264(slices="4"), without_last_slice)],
)
def test_a_damaged_picture_and_what_builds_on_it_are_errors_until_the_next_key_picture(
    packets: Callable[[], list[tuple[int, bytes]]], change: Change
) -> None:
    hit = [(stamp, change(data) if stamp == HIT else data) for stamp, data in packets()]
    out, errors = played("h264", hit)
    whole = [number for come in out for number in come]
    assert whole == [*range(HIT), *range(2 * KEY_EVERY, COUNT)]
    assert len(errors) == 2 * KEY_EVERY - HIT


def test_a_picture_that_lost_packets_is_an_error_also_where_the_decoder_is_content() -> None:
    out, errors = played("h264", x264(), torn=HIT)
    assert [number for come in out for number in come] == [
        *range(HIT),
        *range(2 * KEY_EVERY, COUNT),
    ]
    assert "missing" in errors[0]


@pytest.mark.parametrize("change", [half, hole])
def test_of_pictures_that_stand_alone_only_the_damaged_one_is_an_error(change: Change) -> None:
    packets = [(stamp, change(data) if stamp == HIT else data) for stamp, data in coded("mjpeg")]
    out, errors = played("mjpeg", packets)
    assert [number for come in out for number in come] == [
        number for number in range(COUNT) if number != HIT
    ]
    assert len(errors) == 1


def test_a_stream_joined_in_its_middle_begins_with_a_key_picture_and_counts_nothing() -> None:
    out, errors = played("h264", x264()[5:])
    assert [number for come in out for number in come] == list(range(KEY_EVERY, COUNT))
    assert errors == []


def test_a_turned_picture_has_its_upright_size() -> None:
    class Turned:
        """Stands for a frame whose container says how the camera was held."""

        width, height, rotation = 320, 240, 90

        def to_ndarray(self, format: str) -> np.ndarray:
            image = np.zeros((240, 320, 3), np.uint8)
            image[0, 0] = 255
            return image

    assert size_of(Turned()) == (240, 320)  # type: ignore[arg-type]
    image = to_bgr(Turned())  # type: ignore[arg-type]
    assert image.shape == (320, 240, 3)
    assert image[-1, 0, 0] == 255, "a quarter counter-clockwise"
