"""What goes into ONNX taggers and what comes out, against the numbers of the documented pre-processing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_taggers
from PIL import Image

from backend.config.problems import UserError
from taggers import files, tag_lists
from taggers.base import Picture
from taggers.config import TaggingConfig
from taggers.kinds import load
from taggers.models import DANBOORU
from taggers.onnx import OnnxTagger, providers, shape_of, square

NOBODY = Picture("", "a.png", Path("a.png"))
SIDE = tiny_taggers.SIDE


def opened(folder: Path) -> OnnxTagger:
    tagger = load(files.at(folder), TaggingConfig(device="cpu"))
    assert isinstance(tagger, OnnxTagger)
    return tagger


def echoed(folder: Path, image: Image.Image, *, channels_first: bool) -> np.ndarray:
    tagger = opened(tiny_taggers.echo(folder, channels_first=channels_first))
    (described,) = tagger.describe([tagger.prepare(image, NOBODY)])
    assert described.scores is not None
    return described.scores


def test_wd_is_given_blue_green_red_from_0_to_255_with_channels_last(tmp_path: Path) -> None:
    numbers = echoed(tmp_path / "m", Image.new("RGB", (SIDE, SIDE), (10, 20, 30)), channels_first=False)
    assert numbers.reshape(SIDE, SIDE, 3)[3, 4].tolist() == [30, 20, 10]


def test_cl_is_given_minus_1_to_1_with_channels_first_and_its_logits_become_confidences(tmp_path: Path) -> None:
    numbers = echoed(tmp_path / "m", Image.new("RGB", (SIDE, SIDE), (0, 255, 51)), channels_first=True)
    given = np.log(numbers / (1 - numbers)).reshape(3, SIDE, SIDE)
    assert given[:, 2, 5] == pytest.approx([51 / 127.5 - 1, 1.0, -1.0], abs=1e-5)


def test_a_picture_lies_in_the_middle_of_a_white_square() -> None:
    array = square(Image.new("RGB", (8, 4), (0, 0, 0)), 8)
    assert array.shape == (8, 8, 3)
    assert array[:2].min() == 255 and array[6:].min() == 255
    assert array[2:6].max() == 0


def test_an_odd_rest_of_the_square_lies_below_and_to_the_right() -> None:
    array = square(Image.new("RGB", (5, 8), (0, 0, 0)), 8)
    assert [int(column) for column in array[0, :, 0]] == [255, 0, 0, 0, 0, 0, 255, 255]


@pytest.mark.parametrize("size", [(300, 100), (3, 5), (1, 1)])
def test_every_size_is_scaled_to_that_of_the_model(size: tuple[int, int]) -> None:
    assert square(Image.new("RGB", size, (255, 255, 255)), 16).shape == (16, 16, 3)


def test_scaling_is_bicubic_after_padding() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)
    padded = np.full((64, 64, 3), 255, np.uint8)
    padded[12:52] = noise
    expected = np.asarray(Image.fromarray(padded).resize((32, 32), Image.Resampling.BICUBIC))[:, :, ::-1]
    assert np.array_equal(square(Image.fromarray(noise), 32), expected)


def test_the_shape_is_read_from_the_model() -> None:
    assert shape_of(["N", 448, 448, 3], "tensor(float)") == shape_of([None, 448, 448, 3], "tensor(float)")
    assert shape_of([1, 3, 384, 384], "tensor(float)").channels_first
    assert shape_of([1, 3, 384, 384], "tensor(float)").side == 384
    assert shape_of([1, 3, 384, 384], "tensor(float)").batch == 1
    assert shape_of(["N", 3, "H", "W"], "tensor(float16)").side == 448
    with pytest.raises(ValueError, match="int64"):
        shape_of([1, 448, 448, 3], "tensor(int64)")
    with pytest.raises(ValueError, match="7"):
        shape_of([1, 448, 448, 7], "tensor(float)")


def test_a_model_of_a_fixed_batch_size_is_given_full_batches(tmp_path: Path) -> None:
    tagger = opened(tiny_taggers.wd(tmp_path / "m", batch=4, bright=2))
    white = tagger.prepare(Image.new("RGB", (4, 4), (255, 255, 255)), NOBODY)
    found = tagger.describe([white, white])
    assert tagger.fixed_batch == 4
    assert [round(float(each.scores[2]), 3) for each in found if each.scores is not None] == [1.0, 1.0]


def test_categories_are_those_of_the_column_wherever_the_rows_are(tmp_path: Path) -> None:
    path = tmp_path / "selected_tags.csv"
    path.write_text(
        "tag_id,name,category,count\n1,saber,4,9\n2,1girl,0,9\n3,general,9,9\n4,x,77,9\n", encoding="utf-8-sig"
    )
    assert tag_lists.read(path, DANBOORU).categories == ("character", "general", "rating", "other")


@pytest.mark.parametrize("nested", [False, True])
def test_both_forms_of_the_mapping_are_read(tmp_path: Path, nested: bool) -> None:
    tags = tag_lists.read(tiny_taggers.cl(tmp_path / "m", nested=nested) / "tag_mapping.json", DANBOORU)
    assert tags.names[3] == "1girl"
    assert tags.categories == ("quality", "rating", "rating", "general", "general", "character")


def test_the_makers_thresholds_are_read_where_there_are_any(tmp_path: Path) -> None:
    path = tmp_path / "selected_tags.csv"
    path.write_text("name,category,best_threshold\na,0,0.25\nb,0,\n", encoding="utf-8")
    best = tag_lists.read(path, DANBOORU).best
    assert best is not None and best[0] == np.float32(0.25) and np.isnan(best[1])
    path.write_text("name,category\na,0\nb,4\n", encoding="utf-8")
    assert tag_lists.read(path, DANBOORU).best is None
    (tmp_path / "thresholds.csv").write_text(
        "category,name,threshold\n0,general,0.3\n4,character,0.8\n", encoding="utf-8"
    )
    best = tag_lists.read(path, DANBOORU).best
    assert best is not None and best.tolist() == [np.float32(0.3), np.float32(0.8)]


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "\x00"])
def test_a_damaged_list_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "selected_tags.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        tag_lists.read(path, DANBOORU)
    assert caught.value.problem.code == "tag_list_damaged"


@pytest.mark.parametrize("text", ["[]", "{}", "{", '{"0": {"tag": "a"}}', '{"1": {"tag": "a", "category": "General"}}'])
def test_a_damaged_mapping_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tag_mapping.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        tag_lists.read(path, DANBOORU)
    assert caught.value.problem.code == "tag_list_damaged"


def test_a_list_of_another_model_is_told(model: Path) -> None:
    path = model / "selected_tags.csv"
    path.write_text(path.read_text(encoding="utf-8") + "99,more,0,1\n", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        opened(model)
    assert caught.value.problem.code == "tagger_mismatch"
    assert "11" in str(caught.value) and "10" in str(caught.value)


def test_a_damaged_model_is_told(model: Path) -> None:
    (model / "model.onnx").write_bytes(b"no model")
    with pytest.raises(UserError) as caught:
        opened(model)
    assert caught.value.problem.code == "tagger_damaged"


def test_the_best_device_that_is_there_is_taken_and_the_processor_helps() -> None:
    cpu, cuda, dml, mac = (f"{name}ExecutionProvider" for name in ("CPU", "CUDA", "Dml", "CoreML"))
    assert providers("auto", [cpu]) == [cpu]
    assert providers("auto", [cpu, cuda]) == [cuda, cpu]
    assert providers("auto", [cpu, dml]) == [dml, cpu]
    assert providers("coreml", [cpu, mac]) == [mac, cpu]
    assert providers("cpu", [cuda, cpu]) == [cpu]
    with pytest.raises(UserError) as caught:
        providers("cuda", [cpu])
    assert caught.value.problem.code == "tagger_device_missing"
