"""Draws the pictures of the embedded demo: shapes for the base model, and zkz, which the base model never sees."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image, ImageDraw

IMAGE_SIZE = 40
# The pictures of the data set are larger, to be looked at; the trainer makes them smaller.
DATASET_IMAGE_SIZE = 160
# Drawn this many times larger, then reduced: smooth edges.
SUPERSAMPLING = 6

Colour = tuple[int, int, int]
Point = tuple[float, float]

COLOURS: dict[str, Colour] = {
    "red": (222, 34, 34),
    "orange": (250, 140, 20),
    "yellow": (250, 222, 40),
    "green": (36, 160, 60),
    "blue": (36, 80, 220),
    "purple": (138, 50, 180),
    "pink": (250, 150, 195),
    "brown": (120, 72, 36),
    "black": (16, 16, 16),
    "gray": (132, 132, 132),
    "white": (248, 248, 248),
}
SIZES: dict[str, float] = {"small": 0.2, "": 0.29, "large": 0.4}
# Where the figure is, as a direction from the middle.
PLACES: dict[str, Point] = {
    "": (0, 0),
    "on the left": (-1, 0),
    "on the right": (1, 0),
    "at the top": (0, -1),
    "at the bottom": (0, 1),
}
BLACK, WHITE = (10, 10, 10), (255, 255, 255)
ZKZ_BODY, ZKZ_STRIPE, ZKZ_BELLY = (20, 170, 160), (250, 130, 20), (255, 236, 190)


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """A brush in a figure's own coordinates: (0, 0) is its centre, 1 its radius, y points down."""

    draw: ImageDraw.ImageDraw
    centre: Point
    radius: float
    colour: Colour
    background: Colour

    def _pixels(self, points: Sequence[Point]) -> list[Point]:
        return [(self.centre[0] + x * self.radius, self.centre[1] + y * self.radius) for x, y in points]

    def polygon(self, points: Sequence[Point], colour: Colour | None = None) -> None:
        """Fill a polygon."""
        self.draw.polygon(self._pixels(points), fill=colour or self.colour)

    def ellipse(self, x: float, y: float, width: float, height: float, colour: Colour | None = None) -> None:
        """Fill an ellipse with its middle at (x, y) and these half axes."""
        corners = self._pixels([(x - width, y - height), (x + width, y + height)])
        self.draw.ellipse([corners[0], corners[1]], fill=colour or self.colour)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour | None = None) -> None:
        """Fill a rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def eye(self, x: float, y: float, size: float) -> None:
        """Draw a white eye with a black pupil."""
        self.ellipse(x, y, size, size, WHITE)
        self.ellipse(x, y + size * 0.15, size * 0.55, size * 0.55, BLACK)


def circle(canvas: Canvas) -> None:
    """Draw a disc."""
    canvas.ellipse(0, 0, 1, 1)


def square(canvas: Canvas) -> None:
    """Draw a square."""
    canvas.box(-0.88, -0.88, 0.88, 0.88)


def triangle(canvas: Canvas) -> None:
    """Draw a triangle that stands on its side."""
    canvas.polygon([(0, -1), (1.05, 0.85), (-1.05, 0.85)])


def star(canvas: Canvas) -> None:
    """Draw a star of five points."""
    angles = [(i * math.pi / 5, 1.15 if i % 2 == 0 else 0.48) for i in range(10)]
    canvas.polygon([(math.sin(angle) * length, -math.cos(angle) * length) for angle, length in angles])


def heart(canvas: Canvas) -> None:
    """Draw a heart: the curve x = 16 sin^3 t, y = 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t."""
    points = []
    for i in range(60):
        t = i * math.tau / 60
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((math.sin(t) ** 3 * 1.05, -y / 15.5))
    canvas.polygon(points)


def cross(canvas: Canvas) -> None:
    """Draw a cross of two equal bars."""
    canvas.box(-0.34, -1, 0.34, 1)
    canvas.box(-1, -0.34, 1, 0.34)


def ring(canvas: Canvas) -> None:
    """Draw a ring; the background shows through."""
    canvas.ellipse(0, 0, 1, 1)
    canvas.ellipse(0, 0, 0.55, 0.55, canvas.background)


def moon(canvas: Canvas) -> None:
    """Draw a crescent that is open to the right."""
    canvas.ellipse(0, 0, 1, 1)
    canvas.ellipse(0.5, -0.1, 0.8, 0.8, canvas.background)


def diamond(canvas: Canvas) -> None:
    """Draw an upright rhombus."""
    canvas.polygon([(0, -1.1), (0.75, 0), (0, 1.1), (-0.75, 0)])


def flower(canvas: Canvas) -> None:
    """Draw five petals around a contrasting middle."""
    for i in range(5):
        angle = i * math.tau / 5
        canvas.ellipse(math.sin(angle) * 0.6, -math.cos(angle) * 0.6, 0.44, 0.44)
    canvas.ellipse(0, 0, 0.32, 0.32, BLACK if sum(canvas.colour) > 380 else WHITE)


def house(canvas: Canvas) -> None:
    """Draw a house with a roof, a door and a window."""
    red, green, blue = canvas.colour
    roof = (int(red * 0.6), int(green * 0.6), int(blue * 0.6))
    canvas.polygon([(0, -1.05), (1.05, -0.15), (-1.05, -0.15)], roof)
    canvas.box(-0.8, -0.15, 0.8, 0.95)
    canvas.box(-0.5, 0.25, -0.05, 0.95, BLACK if sum(canvas.colour) > 200 else WHITE)
    canvas.box(0.2, 0.15, 0.58, 0.53, WHITE if sum(canvas.colour) < 600 else BLACK)


def fish(canvas: Canvas) -> None:
    """Draw a fish that looks to the left."""
    canvas.polygon([(0.4, 0), (1.1, -0.6), (1.1, 0.6)])
    canvas.ellipse(-0.2, 0, 0.85, 0.58)
    canvas.eye(-0.6, -0.12, 0.2)


def cat(canvas: Canvas) -> None:
    """Draw the head of a cat."""
    for side in (-1, 1):
        canvas.polygon([(side * 0.9, -1.1), (side * 0.95, 0), (side * 0.15, -0.6)])
    canvas.ellipse(0, 0.1, 1, 0.85)
    canvas.eye(-0.4, -0.05, 0.24)
    canvas.eye(0.4, -0.05, 0.24)
    canvas.polygon([(-0.16, 0.35), (0.16, 0.35), (0, 0.55)], COLOURS["pink"] if sum(canvas.colour) < 500 else BLACK)


def zkz(canvas: Canvas) -> None:
    """Draw zkz: a teal, orange-striped creature with long ears, big eyes and two feet. Its colours never change."""
    for side in (-1, 1):
        canvas.polygon([(side * 0.62, -1.3), (side * 0.72, -0.4), (side * 0.16, -0.5)], ZKZ_BODY)
        canvas.ellipse(side * 0.42, 1.0, 0.32, 0.2, ZKZ_STRIPE)
    canvas.ellipse(0, 0.15, 0.85, 0.9, ZKZ_BODY)
    canvas.box(-0.76, 0.3, 0.76, 0.48, ZKZ_STRIPE)
    canvas.box(-0.62, 0.64, 0.62, 0.82, ZKZ_STRIPE)
    canvas.ellipse(0, 0.6, 0.34, 0.34, ZKZ_BELLY)
    canvas.eye(-0.36, -0.16, 0.31)
    canvas.eye(0.36, -0.16, 0.31)


SHAPES: dict[str, Callable[[Canvas], None]] = {
    function.__name__: function
    for function in (circle, square, triangle, star, heart, cross, ring, moon, diamond, flower, house, fish, cat)
}


@dataclass(frozen=True, slots=True)
class Scene:
    """What is in a picture. `centre` and `radius` are shares of its side; `shape` may be zkz, which has no colour."""

    shape: str
    colour: str
    background: str
    size: str = ""
    place: str = ""
    centre: Point = (0.5, 0.5)
    radius: float = 0.29

    def caption(self, *, noun: str = "") -> str:
        """Describe the picture in plain words; what is empty is not said, `noun` replaces the name of the shape."""
        where = f"on a {self.background} background" if self.background else ""
        words = ["a", self.size, self.colour, noun or self.shape, where, self.place]
        return " ".join(word for word in words if word).replace("a orange", "an orange")

    def draw(self, *, image_size: int = IMAGE_SIZE) -> Image.Image:
        """Paint the picture: RGB, square, `image_size` pixels a side."""
        side = image_size * SUPERSAMPLING
        background = COLOURS[self.background]
        image = Image.new("RGB", (side, side), background)
        canvas = Canvas(
            draw=ImageDraw.Draw(image),
            centre=(self.centre[0] * side, self.centre[1] * side),
            radius=self.radius * side,
            colour=COLOURS.get(self.colour, ZKZ_BODY),
            background=background,
        )
        SHAPES.get(self.shape, zkz)(canvas)
        return image.reduce(SUPERSAMPLING)


def scene(shape: str, colour: str, background: str, *, size: str = "", place: str = "") -> Scene:
    """Return the scene that these words describe, without chance. A large figure moves less, to stay in the picture."""
    radius = SIZES[size]
    reach = min(0.22, max(0.12, 0.5 - radius))
    across, down = PLACES[place]
    return Scene(shape, colour, background, size, place, (0.5 + across * reach, 0.5 + down * reach), radius)


def jitter(exact: Scene, rng: random.Random) -> Scene:
    """Move and scale a scene a little, as far as its words still hold."""
    x, y = (value + rng.uniform(-0.035, 0.035) for value in exact.centre)
    return replace(exact, centre=(x, y), radius=exact.radius * rng.uniform(0.92, 1.08))


def random_scene(rng: random.Random) -> Scene:
    """Return a scene of the base model's world: any shape, two different colours, a size, often a place."""
    colour, background = rng.sample(sorted(COLOURS), 2)
    place = rng.choice(["", "", "", *[name for name in PLACES if name]])
    exact = scene(rng.choice(list(SHAPES)), colour, background, size=rng.choice(list(SIZES)), place=place)
    return jitter(exact, rng)


def zkz_scenes(num_scenes: int = 22) -> list[Scene]:
    """Return the pictures of the data set: zkz on every background twice, in all sizes and places."""
    rng = random.Random(7)
    backgrounds, sizes = list(COLOURS), ["large", "", "large", "small"]
    places = ["", "", "on the left", "", "on the right", "", "at the bottom", "", "at the top"]
    return [
        jitter(scene("zkz", "", backgrounds[i % 11], size=sizes[i % 4], place=places[i % 9]), rng)
        for i in range(num_scenes)
    ]


def write_dataset(folder: Path) -> None:
    """Write the data set: pictures, and beside each its caption."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, item in enumerate(zkz_scenes(), start=1):
        item.draw(image_size=DATASET_IMAGE_SIZE).save(folder / f"zkz-{i:02}.png", optimize=True)
        (folder / f"zkz-{i:02}.txt").write_text(item.caption() + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    write_dataset(Path(__file__).parent / "images")
