"""The demo's pictures: the same each time, and what their captions say."""

import random
from pathlib import Path

import numpy
import pytest
from PIL import Image

from presets.demo import drawing

IMAGES_DIR = Path(drawing.__file__).parent / "images"
# In these the middle of the figure is of the figure's own colour.
SOLID = ("circle", "square", "triangle", "star", "heart", "cross", "diamond")


def nearest_colour(pixel) -> str:
    return min(drawing.COLOURS, key=lambda name: numpy.square(numpy.subtract(drawing.COLOURS[name], pixel[:3])).sum())


def test_the_same_chance_draws_the_same_picture():
    first, second = (drawing.random_scene(random.Random(5)) for _ in range(2))
    assert first == second
    assert first.draw().tobytes() == second.draw().tobytes()
    assert drawing.random_scene(random.Random(6)).draw().tobytes() != first.draw().tobytes()


@pytest.mark.parametrize("colour", drawing.COLOURS)
@pytest.mark.parametrize("shape", SOLID)
def test_the_middle_has_the_named_colour_and_the_corner_the_background(shape, colour):
    background = "white" if colour != "white" else "black"
    image = drawing.scene(shape, colour, background).draw()
    assert nearest_colour(image.getpixel((20, 20))) == colour
    assert nearest_colour(image.getpixel((1, 1))) == background


def test_sizes_and_places_are_what_their_words_say():
    areas, columns = {}, {}
    for size in drawing.SIZES:
        pixels = numpy.asarray(drawing.scene("square", "red", "white", size=size).draw())[:, :, 1] < 128
        areas[size] = pixels.sum()
    for place in drawing.PLACES:
        pixels = numpy.asarray(drawing.scene("square", "red", "white", size="small", place=place).draw())[:, :, 1] < 128
        columns[place] = tuple(float(index.mean()) for index in numpy.nonzero(pixels))
    assert areas["small"] * 1.5 < areas[""] < areas["large"] / 1.5
    row, column = columns[""]
    assert columns["on the left"][1] < column - 4 < column + 4 < columns["on the right"][1]
    assert columns["at the top"][0] < row - 4 < row + 4 < columns["at the bottom"][0]


def test_no_two_shapes_look_alike():
    pictures = {name: numpy.asarray(drawing.scene(name, "red", "white").draw(), int) for name in drawing.SHAPES}
    pictures["zkz"] = numpy.asarray(drawing.scene("zkz", "", "white").draw(), int)
    for name, picture in pictures.items():
        others = (abs(picture - other).mean() for key, other in pictures.items() if key != name)
        assert min(others) > 3, name


def test_captions_are_plain_words():
    scene = drawing.scene("star", "orange", "blue", size="small", place="on the left")
    assert scene.caption() == "a small orange star on a blue background on the left"
    assert drawing.scene("star", "orange", "orange").caption() == "an orange star on an orange background"
    assert drawing.scene("zkz", "", "red", size="large").caption() == "a large zkz on a red background"
    assert scene.caption(noun="qwx") == "a small orange qwx on a blue background on the left"


def test_the_base_model_never_sees_zkz():
    rng = random.Random(0)
    assert all("zkz" not in drawing.random_scene(rng).caption() for _ in range(500))


def test_the_committed_pictures_are_the_ones_that_the_script_draws(tmp_path):
    drawing.write_dataset(tmp_path)
    committed = {path.name for path in IMAGES_DIR.iterdir()}
    assert committed == {path.name for path in tmp_path.iterdir()}
    for path in sorted(tmp_path.glob("*.png")):
        drawn, stored = (numpy.asarray(Image.open(folder / path.name), int) for folder in (tmp_path, IMAGES_DIR))
        assert abs(drawn - stored).mean() < 1, path.name
        caption = (IMAGES_DIR / path.name).with_suffix(".txt").read_text(encoding="utf-8")
        assert caption == path.with_suffix(".txt").read_text(encoding="utf-8")
        background = caption.split(" background")[0].split()[-1]
        assert nearest_colour(stored[2, 2]) == background
