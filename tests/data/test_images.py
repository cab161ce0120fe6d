"""Pictures of every kind become upright RGB, and broken ones a clear error."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from backend.config.problems import UserError
from backend.data.images import EXTENSIONS, probe, read_alpha, read_mask, read_rgb

TRANSPOSED = {5, 6, 7, 8}


def picture() -> Image.Image:
    """Four quarters of different colours, wider than high."""
    image = Image.new("RGB", (64, 32), "white")
    image.paste((255, 0, 0), (0, 0, 32, 16))
    image.paste((0, 255, 0), (32, 0, 64, 16))
    image.paste((0, 0, 255), (0, 16, 32, 32))
    return image


def code_of(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_rgb(path)
    return caught.value.problem.code


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", sorted(EXTENSIONS & {".jpg", ".png", ".tif", ".webp", ".avif"}))
def test_exif_rotation_is_applied_and_the_header_tells_the_upright_size(
    tmp_path: Path, ending: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a{ending}"
    picture().save(path, exif=exif, quality=95)
    read = read_rgb(path)
    with Image.open(path) as raw:
        expected = ImageOps.exif_transpose(raw).convert("RGB")
    assert read.size == ((32, 64) if orientation in TRANSPOSED else (64, 32)) == expected.size
    info = probe(path)
    assert (info.width, info.height) == read.size
    assert np.abs(np.asarray(read, int) - np.asarray(expected, int)).max() <= 1


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (255, 0, 0, 255), (255, 0, 0)),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),
        ("LA", (0, 0), (255, 255, 255)),
        ("L", 90, (90, 90, 90)),
        ("1", 1, (255, 255, 255)),
    ],
)
def test_modes_become_rgb_with_transparency_on_white(
    tmp_path: Path, mode: str, color: object, expected: tuple[int, ...]
) -> None:
    path = tmp_path / "a.png"
    Image.new(mode, (8, 8), color).save(path)
    read = read_rgb(path)
    assert read.mode == "RGB"
    assert read.getpixel((3, 3)) == expected


def test_a_palette_with_a_transparent_colour_is_laid_on_white(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.paste(0, (0, 0, 4, 8))
    image.save(path, transparency=0)
    read = read_rgb(path)
    assert read.getpixel((0, 0)) == (255, 255, 255)
    assert read.getpixel((7, 7)) == (10, 20, 30)


def test_sixteen_bit_greys_keep_their_range(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    ramp = np.linspace(0, 65535, 16).astype(np.uint16).reshape(4, 4)
    Image.fromarray(ramp).save(path)
    read = np.asarray(read_rgb(path))[..., 0]
    assert read.flatten()[0] == 0
    assert read.flatten()[-1] == 255
    assert np.abs(read.flatten().astype(int) - np.linspace(0, 255, 16)).max() <= 1


def test_cmyk_becomes_the_colour_that_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (16, 16), (250, 10, 10)).convert("CMYK").save(path, quality=95)
    red, green, blue = read_rgb(path).getpixel((8, 8))
    assert red > 230
    assert max(green, blue) < 40


def test_the_first_frame_of_an_animation_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    Image.new("RGB", (8, 8), "red").save(path, save_all=True, append_images=[Image.new("RGB", (8, 8), "blue")])
    assert probe(path).is_animated
    assert read_rgb(path).getpixel((2, 2)) == (255, 0, 0)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif"])
def test_a_truncated_picture_is_named(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert code_of(path) in ("image_truncated", "image_corrupt")


@pytest.mark.skipif(".avif" not in EXTENSIONS, reason="this Pillow reads no AVIF")
def test_an_avif_that_is_damaged_further_in_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(path)
    data = path.read_bytes()
    start = data.index(b"mdat") + 4
    path.write_bytes(data[:start] + bytes(len(data) - start))
    assert code_of(path) == "image_truncated"


def test_other_files_under_a_picture_name_are_refused(tmp_path: Path) -> None:
    text, empty = tmp_path / "a.png", tmp_path / "b.png"
    text.write_text("this is no picture", encoding="utf-8")
    empty.write_bytes(b"")
    assert code_of(text) == "image_corrupt"
    assert code_of(empty) == "image_empty"
    assert code_of(tmp_path / "none.png") == "file_not_found"


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    with pytest.raises(UserError) as caught:
        probe(path)
    assert caught.value.problem.code == "image_too_large"


def test_probing_a_png_does_not_decode_it(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    picture().save(path)
    data = bytearray(path.read_bytes())
    start = data.index(b"IDAT") + 4
    data[start : start + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(bytes(data))
    assert (probe(path).width, probe(path).height) == (64, 32)
    assert code_of(path) == "image_truncated"


@pytest.mark.parametrize("name", ["with space.png", "图片.png", "🔥.png", "ä'%;$.png"])
def test_strange_names(tmp_path: Path, name: str) -> None:
    picture().save(tmp_path / name)
    assert read_rgb(tmp_path / name).size == (64, 32)


def swapped_profile() -> bytes:
    """A profile in which red and green have changed places."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = data.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")
    return data.replace("sRGB".encode("utf-16-be"), "test".encode("utf-16-be"))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_of_another_profile_become_srgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8), (255, 0, 0)).convert(mode).save(path, icc_profile=swapped_profile())
    red, green, blue = read_rgb(path).getpixel((2, 2))
    assert green > 250
    assert max(red, blue) < 5


def test_transparency_survives_a_profile(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(path, icc_profile=swapped_profile())
    assert read_rgb(path).getpixel((2, 2)) == (255, 255, 255)


@pytest.mark.parametrize("profile", [b"no profile at all", swapped_profile()[:200]])
@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "CMYK"])
def test_a_damaged_profile_is_ignored(tmp_path: Path, mode: str, profile: bytes) -> None:
    path = tmp_path / "a.tif"
    Image.new("RGB", (8, 8), (90, 90, 90)).convert(mode).save(path, icc_profile=profile)
    assert all(abs(value - 90) <= 2 for value in read_rgb(path).getpixel((2, 2)))


def test_bytes_are_read_as_files_are(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    picture().save(buffer, "PNG")
    info = probe(buffer.getvalue())
    assert (info.width, info.height) == read_rgb(buffer.getvalue()).size == (64, 32)
    for data, code in ((b"", "image_empty"), (b"no picture", "image_corrupt")):
        with pytest.raises(UserError) as caught:
            read_rgb(data, name="shard.tar/a.png")
        assert caught.value.problem.code == code
        assert "shard.tar/a.png" in str(caught.value)


def test_masks_are_grey_and_upright_whatever_their_mode(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for mode, color in (("L", 200), ("RGB", (200, 200, 200)), ("RGBA", (200, 200, 200, 0)), ("I;16", 200 * 257)):
        path = tmp_path / "mask.png"
        Image.new(mode, (16, 8), color).save(path, exif=exif)
        mask = read_mask(path)
        assert (mask.mode, mask.size, mask.getpixel((3, 3))) == ("L", (8, 16), 200)


def test_alpha_is_there_or_not(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGBA", (8, 8), (1, 2, 3, 77)).save(path)
    assert read_alpha(path).getpixel((1, 1)) == 77
    picture().save(path)
    assert read_alpha(path) is None
