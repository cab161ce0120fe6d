"""How pictures are scaled, cut and varied; every field here can differ from data set to data set."""

import math
from typing import Annotated, Literal

from pydantic import Field

from backend.config.base import Condition, Section, Ui

WITH_BUCKETS = (Condition("data.enable_bucket", "eq", True),)
KOHYA = (*WITH_BUCKETS, Condition("data.bucket_rule", "eq", "kohya"))
ASPECTS = (*WITH_BUCKETS, Condition("data.bucket_rule", "eq", "aspects"))


def parse_size(text: str) -> tuple[int, int] | None:
    """Read a size such as 512x768 as (width, height) in pixels; None where it is none."""
    width, _, height = text.lower().replace("*", "x").replace("\u00d7", "x").partition("x")
    if not (width.strip().isdecimal() and height.strip().isdecimal()):
        return None
    return (int(width), int(height)) if int(width) and int(height) else None


class GeometryRules(Section):
    width: Annotated[
        int, Field(title="Width", ge=16, le=8192), Ui(tier="basic", unit="px", aliases=("resolution", "max_resolution"))
    ] = 512
    """With height: the area that pictures are scaled to. 512 x 512 for SD 1.5, 768 x 768 for SD 2, 1024 x 1024 for
    SDXL. Larger shows finer detail, needs more memory and time, and does badly above what the model was made for."""

    height: Annotated[
        int,
        Field(title="Height", ge=16, le=8192),
        Ui(tier="basic", unit="px", aliases=("resolution", "max_resolution")),
    ] = 512
    """With width: the area that pictures are scaled to."""

    resolutions: Annotated[list[int], Field(title="Several resolutions"), Ui(unit="px", aliases=("resolutions",))] = []
    """Train every picture at each of these sizes, such as 512, 768, 1024: the sides of squares of equal area. They take
    the place of width and height. Empty: one size."""

    enable_bucket: Annotated[
        bool, Field(title="Aspect-ratio buckets"), Ui(aliases=("enable_ar_bucket", "arb", "aspect_ratio_bucketing"))
    ] = True
    """Sorts pictures by shape and trains each shape at its own size of equal area, so that little is cropped. Off:
    every picture is cropped to width x height."""

    bucket_rule: Annotated[
        Literal["kohya", "area", "pixel", "pixel_area", "aspects", "sizes"],
        Field(title="Bucket rule"),
        Ui(aliases=("resolution_type", "bucket_strategy"), when=WITH_BUCKETS),
    ] = "kohya"
    """How the sizes of the buckets are found. kohya: a fixed list within the limits below, as in sd-scripts. area and
    pixel_area: each picture's own shape at the area in megapixels, or at width x height, as in SimpleTuner. pixel: each
    picture's own shape, its shorter side as long as the training size. aspects: a few shapes between two limits, as in
    diffusion-pipe. sizes: the sizes that you list."""

    min_bucket_resolution: Annotated[
        int,
        Field(title="Shortest side", ge=16, le=8192),
        Ui(unit="px", aliases=("min_bucket_reso",), when=KOHYA),
    ] = 256
    """No bucket has a side shorter than this."""

    max_bucket_resolution: Annotated[
        int, Field(title="Longest side", ge=16, le=8192), Ui(unit="px", aliases=("max_bucket_reso",), when=KOHYA)
    ] = 1024
    """No bucket has a side longer than this. 2048 is usual for SDXL."""

    bucket_step: Annotated[
        int,
        Field(title="Bucket step", ge=1, le=512),
        Ui(unit="px", aliases=("bucket_reso_steps", "bucket_reso_step", "aspect_bucket_alignment"), when=WITH_BUCKETS),
    ] = 64
    """Bucket sides are multiples of this. Smaller steps crop less and make more buckets with fewer pictures in each."""

    bucket_no_upscale: Annotated[bool, Field(title="Never enlarge pictures"), Ui(when=KOHYA)] = False
    """Pictures smaller than the training area keep their size instead of being enlarged, which would teach blur."""

    megapixels: Annotated[
        float,
        Field(title="Area", gt=0, le=64),
        Ui(unit="megapixels", when=(*WITH_BUCKETS, Condition("data.bucket_rule", "eq", "area"))),
    ] = 1.0
    """The area that pictures are scaled to. 0.25 is 512 x 512, 0.5 is 768 x 768, 1 is 1024 x 1024."""

    min_bucket_aspect: Annotated[
        float, Field(title="Narrowest bucket", gt=0, le=1), Ui(unit="width / height", aliases=("min_ar",), when=ASPECTS)
    ] = 0.5
    """Width over height of the narrowest bucket: 0.5 is twice as high as wide."""

    max_bucket_aspect: Annotated[
        float, Field(title="Widest bucket", ge=1, le=100), Ui(unit="width / height", aliases=("max_ar",), when=ASPECTS)
    ] = 2.0
    """Width over height of the widest bucket."""

    num_bucket_aspects: Annotated[
        int, Field(title="Number of shapes", ge=1, le=100), Ui(aliases=("num_ar_buckets",), when=ASPECTS)
    ] = 7
    """So many shapes from the narrowest to the widest, each wider by the same factor."""

    bucket_aspects: Annotated[
        list[float], Field(title="Shapes"), Ui(unit="width / height", aliases=("ar_buckets",), when=ASPECTS)
    ] = []
    """The shapes themselves, such as 0.67, 1, 1.5. They take the place of the limits and the number above."""

    bucket_sizes: Annotated[
        list[str],
        Field(title="Sizes of the buckets"),
        Ui(
            unit="px",
            aliases=("size_buckets", "predefined_buckets"),
            when=(*WITH_BUCKETS, Condition("data.bucket_rule", "eq", "sizes")),
        ),
    ] = []
    """The sizes that there are, such as 512x768, 768x512. Each picture goes to the nearest shape."""

    crop: Annotated[
        Literal["center", "random", "corner", "face", "squeeze"],
        Field(title="Crop"),
        Ui(aliases=("crop_style", "random_crop", "crop_jitter")),
    ] = "center"
    """Where a picture that does not fit its bucket is cut: at the centre, at a random place each time (not with cached
    latents), at the top left corner, around the largest face (needs the package opencv-python-headless); or squeezed to
    the bucket without a cut, which bends shapes a little."""

    minimum_size: Annotated[
        int,
        Field(title="Leave out pictures smaller than", ge=0, le=8192),
        Ui(unit="px", aliases=("minimum_image_size",)),
    ] = 0
    """Pictures whose shorter side is shorter than this are not trained. 0: all are."""

    maximum_upscale: Annotated[
        float,
        Field(title="Leave out pictures enlarged by more than", ge=0),
        Ui(unit="factor", aliases=("max_upscale_threshold",)),
    ] = 0.0
    """Pictures that would have to be enlarged by more than this factor are not trained. 0: all are."""

    minimum_aspect: Annotated[
        float,
        Field(title="Leave out pictures narrower than", ge=0),
        Ui(unit="width / height", aliases=("minimum_aspect_ratio",)),
    ] = 0.0
    """Width over height: 0.5 leaves out what is more than twice as high as wide. 0: all are trained."""

    maximum_aspect: Annotated[
        float,
        Field(title="Leave out pictures wider than", ge=0),
        Ui(unit="width / height", aliases=("maximum_aspect_ratio", "max_aspect_ratio")),
    ] = 0.0
    """Width over height: 2 leaves out what is more than twice as wide as high. 0: all are trained."""

    flip_augmentation: Annotated[bool, Field(title="Mirror at random"), Ui(aliases=("flip_aug", "flip_x"))] = False
    """Shows each picture mirrored half of the time. Doubles the variety; wrong for anything with text or a parting on
    one side."""

    color_augmentation: Annotated[bool, Field(title="Vary colours at random"), Ui(aliases=("color_aug",))] = False
    """Changes hue, brightness and saturation a little each time. Cannot be used with cached latents."""


def targets_of(rules: GeometryRules) -> tuple[str, list[tuple[int, int]]]:
    """Return what decides how large pictures are trained: the parameter, and the sizes or squares of equal area."""
    by_rule = rules.bucket_rule if rules.enable_bucket else ""
    if by_rule == "sizes":
        return "bucket_sizes", [size for size in map(parse_size, rules.bucket_sizes) if size]
    if rules.resolutions:
        return "resolutions", [(side, side) for side in rules.resolutions]
    if by_rule == "area":
        side = max(1, round(math.sqrt(rules.megapixels * 1e6) / rules.bucket_step)) * rules.bucket_step
        return "megapixels", [(side, side)]
    return "width", [(rules.width, rules.height)]


def training_size(rules: GeometryRules) -> tuple[int, int]:
    """Return the largest size (width, height) that pictures are trained at, or the square of that area."""
    return max(targets_of(rules)[1], key=lambda size: size[0] * size[1], default=(rules.width, rules.height))
