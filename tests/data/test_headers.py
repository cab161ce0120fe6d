"""A header that is read quickly says what Pillow says, or nothing."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from backend.config.problems import UserError
from backend.data.headers import read_header
from backend.data.images import MAXIMUM_PIXELS, probe
from backend.data.stores import Store


def saved(mode: str, kind: str, size: tuple[int, int] = (37, 21), **how: object) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, kind, **how)
    return buffer.getvalue()


def rotated() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def texted() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a prompt " * 20)
    return info


PICTURES = {
    **{f"png {mode}": saved(mode, "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")},
    **{f"jpeg {mode}": saved(mode, "JPEG") for mode in ("L", "RGB", "CMYK")},
    "png with text": saved("RGB", "PNG", pnginfo=texted()),
    "png of generators": saved("RGB", "PNG", dpi=(72, 72)),
    "png rotated": saved("RGB", "PNG", exif=rotated()),
    "png transparent": saved("P", "PNG", transparency=0),
    "png animated": saved("RGB", "PNG", save_all=True, append_images=[Image.new("RGB", (37, 21), "red")]),
    "jpeg progressive": saved("RGB", "JPEG", progressive=True),
    "jpeg rotated": saved("RGB", "JPEG", exif=rotated()),
    "jpeg with a comment": saved("RGB", "JPEG", comment=b"x" * 500),
    "webp": saved("RGB", "WEBP"),
    "gif": saved("P", "GIF"),
    "bmp": saved("RGB", "BMP"),
    "wide": saved("L", "PNG", (3000, 1)),
}
QUICK = ("png L", "png LA", "png RGB", "png RGBA", "jpeg L", "jpeg RGB", "jpeg CMYK", "jpeg progressive")


@pytest.mark.parametrize("name", PICTURES)
def test_it_says_what_pillow_says(name: str, tmp_path: Path) -> None:
    data = PICTURES[name]
    info = probe(data)
    found = read_header(data)
    if found is not None:
        assert (*found, False) == (info.width, info.height, info.mode, info.is_animated)
    path = tmp_path / "picture"
    path.write_bytes(data)
    assert Store().probe(str(path)) == info


@pytest.mark.parametrize("name", QUICK)
def test_usual_pictures_need_no_closer_look(name: str) -> None:
    assert read_header(PICTURES[name]) is not None


@given(st.sampled_from(sorted(PICTURES)), st.integers(0, 400), st.integers(0, 255))
def test_damage_is_never_taken_for_a_picture(name: str, place: int, value: int) -> None:
    data = bytearray(PICTURES[name])
    data[place % len(data)] = value
    found = read_header(bytes(data))
    if found is not None:
        info = probe(bytes(data))
        assert (*found, False) == (info.width, info.height, info.mode, info.is_animated)


@pytest.mark.parametrize("name", PICTURES)
def test_a_file_cut_short_in_its_header_is_not_read(name: str) -> None:
    data = PICTURES[name]
    for end in range(60):
        assert read_header(data[:end]) is None or probe(data[:end]).width == probe(data).width


def test_bombs_stay_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    side = int(MAXIMUM_PIXELS**0.5) + 10
    data = bytearray(saved("L", "PNG"))
    data[16:24] = side.to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    path.write_bytes(bytes(data))
    with pytest.raises(UserError) as error:
        Store().probe(str(path))
    assert error.value.problem.code == "image_too_large"
