"""A picture file's bytes -> BGR and the field of view: formats, depth, alpha, the right way up."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest

from agent.picture_files.decode import DecodedPicture, decode, read_picture
from agent.picture_files.errors import PictureError
from tests.capture.support import noise
from tests.picture_files.support import ORIENTED, encode, pillow, tiff


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff"])
def test_lossless_formats_come_out_as_they_went_in(suffix: str) -> None:
    found = decode(encode(suffix, noise(1)))
    assert np.array_equal(found.image, noise(1))
    assert found.aperture is None


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_formats_come_out_nearly_so(suffix: str) -> None:
    flat = np.full((48, 64, 3), (30, 120, 200), np.uint8)
    image = decode(encode(suffix, flat)).image
    assert np.abs(image.astype(int) - flat).max() <= 8


def test_alpha_is_the_field_of_view() -> None:
    rgba = noise(2, channels=4)
    rgba[:, :, 3] = 0
    rgba[10:30, 10:40, 3] = 255
    rgba[9, 10:40, 3] = 127
    found = decode(encode(".png", rgba))
    image, aperture = found.image, found.aperture
    assert np.array_equal(image, rgba[:, :, :3])
    assert aperture is not None
    assert aperture.dtype == bool
    assert aperture.sum() == 20 * 30


def test_a_fully_opaque_alpha_is_no_aperture() -> None:
    rgba = noise(2, channels=4)
    rgba[:, :, 3] = 255
    assert decode(encode(".png", rgba)).aperture is None


def test_an_alpha_that_lets_nothing_through_costs_the_picture() -> None:
    rgba = noise(2, channels=4)
    rgba[:, :, 3] = 0
    with pytest.raises(PictureError, match="empty_aperture"):
        decode(encode(".png", rgba))


def test_grey_becomes_three_equal_channels() -> None:
    image = decode(encode(".png", noise(3)[:, :, 0])).image
    assert image.shape == (48, 64, 3)
    assert all(np.array_equal(image[:, :, c], noise(3)[:, :, 0]) for c in range(3))


def test_of_sixteen_bits_the_high_byte_is_taken() -> None:
    deep = np.array([[0, 255, 256], [0x7FFF, 0xFF00, 0xFFFF]], np.uint16)
    image = decode(encode(".png", deep)).image
    assert image[:, :, 0].tolist() == [[0, 0, 1], [127, 255, 255]]


def test_floating_point_pixels_cost_the_picture() -> None:
    with pytest.raises(PictureError, match="depth"):
        decode(encode(".tiff", np.ones((8, 8, 3), np.float32)))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff", ".webp"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_picture_cut_short_is_corrupt_and_never_half_a_picture(suffix: str, share: float) -> None:
    data = encode(suffix, noise(4, 256, 256))
    with pytest.raises(PictureError, match="corrupt"):
        decode(data[: int(share * len(data))])


def test_a_header_that_announces_an_absurd_size_is_corrupt() -> None:
    head = b"IHDR" + struct.pack(">IIBBBBB", 2**30, 2**30, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head
    with pytest.raises(PictureError, match="corrupt"):
        decode(png + struct.pack(">I", zlib.crc32(head)))


# --- depth ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("bit_depth", [8, 10, 12, 14, 16])
def test_a_declared_depth_maps_its_own_range_to_the_full_one(suffix: str, bit_depth: int) -> None:
    top = 2**bit_depth - 1
    deep = np.array([[0, top // 2, top, 2 ** (bit_depth - 8)]], np.uint16)
    found = decode(encode(suffix, deep), bit_depth)
    assert found.image[0, :, 1].tolist() == [0, 127, 255, 1]
    assert found.top_bit == bit_depth


def test_undeclared_twelve_bits_in_sixteen_are_dark_and_say_so() -> None:
    deep = np.full((8, 8, 3), 4095, np.uint16)
    found = decode(encode(".png", deep))
    assert found.image.max() == 15
    assert found.top_bit == 12


def test_a_value_above_the_declared_depth_costs_the_picture() -> None:
    with pytest.raises(PictureError, match="depth: a value of 13 bits, where bit_depth is 12"):
        decode(encode(".png", np.full((8, 8), 4096, np.uint16)), 12)


def test_a_declared_depth_says_nothing_about_files_of_eight_bits() -> None:
    found = decode(encode(".png", noise(1)), 12)
    assert np.array_equal(found.image, noise(1))
    assert found.top_bit == 0


def test_alpha_beside_twelve_bits_may_fill_sixteen() -> None:
    deep = np.full((8, 8, 4), 4095, np.uint16)
    deep[:, :4, 3] = 0
    deep[:, 4:, 3] = 65535
    found = decode(encode(".png", deep), 12)
    assert found.image.min() == 255
    assert found.aperture is not None
    assert found.aperture.tolist() == [[False] * 4 + [True] * 4] * 8


def test_sixteen_bits_with_alpha_keep_both() -> None:
    deep = np.random.default_rng(1).integers(0, 65536, (6, 5, 4)).astype(np.uint16)
    found = decode(encode(".png", deep))
    assert np.array_equal(found.image, (deep[:, :, :3] >> 8).astype(np.uint8))
    assert found.aperture is not None
    assert np.array_equal(found.aperture, deep[:, :, 3] >= 0x8000)


# --- TIFF ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bits", "bit_depth"), [(8, None), (16, None), (16, 12)])
def test_white_is_zero_is_turned_round(bits: int, bit_depth: int | None) -> None:
    top = 2 ** (bit_depth or bits) - 1
    ramp = np.linspace(0, top, 64).astype(np.uint8 if bits == 8 else np.uint16).reshape(8, 8)
    black_is_zero = decode(tiff(ramp, photometric=1), bit_depth).image
    white_is_zero = decode(tiff(top - ramp, photometric=0), bit_depth).image
    assert np.array_equal(black_is_zero, white_is_zero)
    assert (int(white_is_zero[0, 0, 0]), int(white_is_zero[7, 7, 0])) == (0, 255)


@pytest.mark.parametrize("bit_depth", [None, 12])
def test_twelve_bits_packed_in_a_tiff_need_no_declared_depth(bit_depth: int | None) -> None:
    ramp = np.linspace(0, 4095, 256).astype(np.uint16).reshape(16, 16)
    found = decode(tiff(ramp, photometric=1, packed_bits=12), bit_depth)
    assert np.array_equal(found.image[:, :, 0], (ramp >> 4).astype(np.uint8))
    assert found.top_bit == 0


def test_inks_of_sixteen_bits_are_refused_and_not_shown_as_colours() -> None:
    inks = np.full((8, 8, 4), 30_000, np.uint16)
    with pytest.raises(PictureError, match="channels: TIFF of 16 bits with photometric"):
        decode(tiff(inks, photometric=5))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg"])
def test_a_whole_tiff_is_read_whatever_its_compression(compression: str) -> None:
    image = cv2.GaussianBlur(noise(5), (0, 0), 2)
    found = decode(pillow(image, "TIFF", compression=compression)).image
    assert np.abs(found.astype(int) - image).max() <= (40 if compression == "jpeg" else 0)


# --- the right way up ----------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "TIFF of 16 bits"])
def test_the_orientation_in_the_file_holds_for_every_format(kind: str, orientation: int) -> None:
    seen = np.zeros((40, 56, 3), np.uint8)
    seen[:20, :28], seen[:20, 28:], seen[20:, :28] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    stored = np.ascontiguousarray(ORIENTED[orientation](seen))
    if kind == "TIFF of 16 bits":
        deep = stored[:, :, ::-1].astype(np.uint16) * 257
        data = tiff(deep, photometric=2, orientation=orientation)
    else:
        data = pillow(stored, kind, orientation)
    found = decode(data).image
    assert found.shape == seen.shape
    assert np.abs(found.astype(int) - seen).mean() < 5


@pytest.mark.parametrize("exif", [b"", b"II", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\0\x09"])
def test_a_broken_exif_costs_itself_and_not_the_picture(exif: bytes) -> None:
    png = encode(".png", noise(1))
    chunk = b"eXIf" + exif
    whole = struct.pack(">I", len(exif)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    assert np.array_equal(decode(png[:33] + whole + png[33:]).image, noise(1))
    jpeg = encode(".jpg", noise(1))
    segment = b"\xff\xe1" + struct.pack(">H", 8 + len(exif)) + b"Exif\0\0" + exif
    plain = decode(jpeg).image
    assert np.array_equal(decode(jpeg[:2] + segment + jpeg[2:]).image, plain)


# --- further pages, further things ---------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_further_pages_are_counted_and_the_first_is_read(kind: str) -> None:
    frames = [np.full((32, 32, 3), grey, np.uint8) for grey in (40, 120, 200)]
    found = decode(pillow(frames[0], kind, more=frames[1:]))
    assert found.pages == 3
    assert np.abs(found.image.astype(int) - 40).max() <= 2
    assert decode(pillow(frames[0], kind)).pages == 1


def test_inks_in_a_jpeg_become_the_colours_that_they_print() -> None:
    data = pillow(np.full((16, 16, 3), (40, 120, 230), np.uint8), "JPEG", mode="CMYK", quality=98)
    found = decode(data).image
    assert np.abs(found.astype(int) - (40, 120, 230)).max() <= 12


def test_a_field_of_view_comes_back_as_alpha() -> None:
    aperture = np.zeros((4, 4), np.bool_)
    aperture[1:3, 1:3] = True
    made = DecodedPicture(np.full((4, 4, 3), 9, np.uint8), aperture).with_alpha
    assert decode(encode(".png", made)).with_alpha.tolist() == made.tolist()
    assert DecodedPicture(made[:, :, :3], None).with_alpha.shape == (4, 4, 3)


def test_an_error_names_the_file_on_one_line(tmp_path) -> None:
    path = tmp_path / "a\nb\udcff.png"
    path.write_bytes(b"")
    with pytest.raises(PictureError) as caught:
        read_picture(path)
    assert str(caught.value) == r"corrupt: a\nb\udcff.png: the file is empty"
