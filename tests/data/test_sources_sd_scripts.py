"""Data set files of sd-scripts: every key has its place here or is named, and the nearest table wins."""

from __future__ import annotations

from pathlib import Path

import pytest
from looking import codes, look, only

from backend.config.data import DataSection, DatasetConfig
from backend.data.datasets import resolve, written_out
from backend.data.scan import scan

EVERY_KEY = """
[general]
enable_bucket = true
shuffle_caption = false
caption_extension = ".txt"
keep_tokens = 1
batch_size = 3

[[datasets]]
resolution = [768, 512]
batch_size = 4
min_bucket_reso = 128
max_bucket_reso = 1536
bucket_reso_steps = 32
bucket_no_upscale = true
validation_split = 0.25
network_multiplier = 1.0
shuffle_caption = true

  [[datasets.subsets]]
  image_dir = "one"
  class_tokens = "zkz cat"
  num_repeats = 7
  keep_tokens = 2
  caption_separator = ";"
  keep_tokens_separator = "|||"
  secondary_separator = ";;;"
  enable_wildcard = true
  caption_prefix = "before"
  caption_suffix = "after"
  color_aug = true
  flip_aug = true
  random_crop = true
  token_warmup_min = 2
  token_warmup_step = 0.5
  caption_dropout_rate = 0.1
  caption_dropout_every_n_epochs = 3
  caption_tag_dropout_rate = 0.2
  alpha_mask = true
  cache_info = true

  [[datasets.subsets]]
  image_dir = "two"
  is_reg = true
  shuffle_caption = false

[[datasets]]
resolution = 1024
  [[datasets.subsets]]
  metadata_file = "meta.json"
  image_dir = "three"
  conditioning_data_dir = "pairs"
"""


def row(folder: Path, text: str, **changes: object) -> DataSection:
    (folder / "set.toml").write_text(text, encoding="utf-8-sig")
    return DataSection(datasets=[DatasetConfig(path=str(folder / "set.toml"), **changes)], keep_tokens=5, width=640)


def test_every_key_finds_its_place(tmp_path: Path) -> None:
    for name in ("one", "two", "three", "pairs", "meta.json"):
        (tmp_path / name).mkdir()
    datasets, problems = resolve(row(tmp_path, EVERY_KEY, name="mine"))
    assert problems == []
    one, two, three = datasets
    assert [(item.index, item.field) for item in datasets] == [(n, "data.datasets[0]") for n in range(3)]
    assert [item.title for item in datasets] == ["mine/one", "mine/two", "mine/meta.json"]
    expected = {
        "enable_bucket": True, "caption_extension": ".txt", "width": 768, "height": 512, "min_bucket_resolution": 128,
        "max_bucket_resolution": 1536, "bucket_step": 32, "bucket_no_upscale": True, "shuffle_caption": True,
        "keep_tokens": 2, "caption_separator": ";", "keep_tokens_separator": "|||", "secondary_separator": ";;;",
        "enable_wildcard": True, "caption_prefix": "before", "caption_suffix": "after", "color_augmentation": True,
        "flip_augmentation": True, "crop": "random", "token_warmup_min": 2, "token_warmup_steps": 0.5,
        "caption_dropout_rate": 0.1, "caption_dropout_every_n_epochs": 3, "tag_dropout_rate": 0.2,
    }  # fmt: skip
    assert {name: getattr(one.rules, name) for name in expected} == expected
    own = one.config
    assert (own.path, own.source, own.class_tokens, own.num_repeats) == (
        str(tmp_path / "one"),
        "sd_scripts",
        "zkz cat",
        7,
    )
    assert (own.batch_size, own.validation_split, own.mask, own.role) == (4, 0.25, "alpha", "train")
    assert (two.config.role, two.rules.shuffle_caption, two.rules.keep_tokens) == ("regularization", False, 1)
    assert (two.rules.caption_lines, two.rules.width) == ("first", 768)
    assert (three.config.source, three.config.path) == ("metadata", str(tmp_path / "meta.json"))
    assert (three.config.image_dir, three.config.conditioning_dir) == (str(tmp_path / "three"), str(tmp_path / "pairs"))
    assert (three.config.conditioning, three.config.batch_size, three.rules.width) == ("folder", 3, 1024)


def test_what_the_file_does_not_say_is_as_everywhere(draw, tmp_path: Path) -> None:
    draw("a.png", caption="first line\nsecond line")
    section = row(tmp_path, '[[datasets]]\n[[datasets.subsets]]\nimage_dir = "pictures"\n', num_repeats=4)
    found = scan(section)
    assert found.problems == ()
    (dataset,) = found.datasets
    assert (dataset.rules.keep_tokens, dataset.rules.width, dataset.rules.caption_lines) == (5, 640, "first")
    assert [(item.name, item.num_repeats) for item in found.images] == [("a.png", 4)]


def test_an_image_dir_is_one_folder_whatever_those_in_it_are_called(draw, tmp_path: Path) -> None:
    draw("a.png", caption="a")
    draw("3_dog/b.png", caption="b")
    found = scan(row(tmp_path, '[[datasets]]\n[[datasets.subsets]]\nimage_dir = "pictures"\nnum_repeats = 2\n'))
    assert [(item.name, item.num_repeats) for item in found.images] == [("a.png", 2)]
    assert codes(found) == {"folders_passed_over"}


@pytest.mark.parametrize(
    ("text", "code", "named"),
    [
        ("[[datasets]]\n[[datasets.subsets]]\nimage_dir='pictures'\nshufle_caption=true", "sd_key_unknown", "shufle_c"),
        ("[[datasets]]\n[[datasets.subsets]]\nimage_dir='pictures'\nresolution=512", "sd_key_unknown", "resolution"),
        ("[generl]\n[[datasets]]\n[[datasets.subsets]]\nimage_dir='pictures'", "sd_key_unknown", "generl"),
        ("[[datasets]]\n[[datasets.subsets]]\nimage_dir='pictures'\nnum_repeats='x'", "sd_value", "num_repeats"),
        ("[[datasets]]\nresolution=[1,2,3]\n[[datasets.subsets]]\nimage_dir='pictures'", "sd_value", "width"),
        ("[[datasets]]\n[[datasets.subsets]]\nnum_repeats=1", "sd_no_source", "set.toml"),
        ("[general]\nshuffle_caption = true", "sd_no_subsets", "set.toml"),
        ("[[datasets]\n", "toml_invalid", "set.toml"),
    ],
)
def test_mistakes_are_named(draw, tmp_path: Path, text: str, code: str, named: str) -> None:
    draw("a.png", caption="a")
    problem = only(scan(row(tmp_path, text)))
    assert (problem.level, problem.code, problem.path) == ("error", code, "data.datasets[0].path")
    assert named in problem.text()


def test_keys_without_a_counterpart_are_told(draw, tmp_path: Path) -> None:
    draw("a.png", caption="a")
    text = "[general]\nface_crop_aug_range=[1.0, 2.0]\nresize_interpolation='lanczos'\n"
    text += "[[datasets]]\nnetwork_multiplier=0.5\nvalidation_seed=3\n[[datasets.subsets]]\nimage_dir='pictures'\n"
    text += "custom_attributes = {diff_output_preservation = true}\n"
    found = scan(row(tmp_path, text))
    assert {problem.level for problem in found.problems} == {"warning"}
    assert codes(found) == {"sd_key_ignored"}
    assert {problem.params["value"] for problem in found.problems} == {
        "face_crop_aug_range", "resize_interpolation", "network_multiplier", "validation_seed", "custom_attributes",
    }  # fmt: skip
    assert len(found.images) == 1


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert codes(look(tmp_path / "none.toml")) == {"file_not_found"}


def test_written_out_the_same_pictures_are_found_without_the_file(draw, tmp_path: Path) -> None:
    for name in ("one", "3_two"):
        draw(tmp_path / name / "a.png")
    text = """
    [general]
    shuffle_caption = true
    [[datasets]]
    resolution = 64
    batch_size = 3
    [[datasets.subsets]]
    image_dir = "one"
    num_repeats = 4
    [[datasets.subsets]]
    image_dir = "3_two"
    is_reg = true
    """
    data = row(tmp_path, text)
    before = scan(data)
    frozen = written_out(data)
    Path(data.datasets[0].path).unlink()
    again = scan(DataSection.model_validate(frozen.model_dump()))
    assert [dataset.config for dataset in again.datasets] == [dataset.config for dataset in before.datasets]
    assert [dataset.rules for dataset in again.datasets] == [dataset.rules for dataset in before.datasets]
    assert again.images == before.images and [image.num_repeats for image in again.images] == [4, 1]
    assert codes(again) == {"captions_missing"}
    assert written_out(frozen) == frozen
