"""What goes into ONNX taggers and what comes out, against the numbers of the documented pre-processing."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny_taggers
from PIL import Image

from backend.config.problems import UserError
from taggers import files, tag_lists
from taggers.base import Picture
from taggers.config import TaggingConfig
from taggers.kinds import load
from taggers.models import DANBOORU
from taggers.onnx import CPU, OnnxTagger, providers, shape_of, square


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def documented(image: Image.Image, side: int) -> np.ndarray:
    """Return what the makers of WD do with a picture, step by step."""
    longest = max(image.size)
    padded = Image.new("RGB", (longest, longest), (255, 255, 255))
    padded.paste(image, ((longest - image.width) // 2, (longest - image.height) // 2))
    return np.asarray(padded.resize((side, side), Image.Resampling.BICUBIC))[:, :, ::-1]


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
    assert (256 * numbers).reshape(SIDE, SIDE, 3)[3, 4].tolist() == [30, 20, 10]


def test_a_model_of_wd_that_gives_logits_is_read_as_such(tmp_path: Path) -> None:
    logits = (4.0, -2.0, 0.5, *[-6.0] * 7)
    tagger = opened(tiny_taggers.wd(tmp_path / "m", scores=logits))
    (described,) = tagger.describe([tagger.prepare(noise(8, 8), NOBODY)])
    assert described.scores is not None
    np.testing.assert_allclose(described.scores, 1 / (1 + np.exp(-np.array(logits))), atol=1e-6)


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


@pytest.mark.parametrize("size", [(64, 40), (40, 64), (63, 20), (9, 31), (500, 3), (3, 500)])
def test_scaling_is_bicubic_after_padding(size: tuple[int, int]) -> None:
    image = noise(*size)
    assert np.array_equal(square(image, 32), documented(image, 32))


def test_a_comic_strip_is_scaled_without_the_whole_square_around_it() -> None:
    image = noise(20, 24_000)
    found = square(image, 48)
    small = square(image.resize((2, 2400), Image.Resampling.BOX), 48)
    assert np.abs(found.astype(int) - small).mean() < 1
    assert found[:, :20].min() == 255 and found[:, 28:].min() == 255


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
    for oblong in (["N", 448, 384, 3], ["N", 3, 448, 384]):
        with pytest.raises(ValueError, match="384"):
            shape_of(oblong, "tensor(float)")


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


def test_numbers_that_no_tag_stands_for_are_told_at_the_first_batch(tmp_path: Path) -> None:
    folder = tiny_taggers.echo(tmp_path / "m", channels_first=False)
    loaded = onnx.load(folder / "model.onnx")
    num = SIDE * SIDE * 3
    loaded.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "any"
    # What is left out is known when it runs only.
    kept = onnx.numpy_helper.from_array(np.arange(num) > 0, "kept")
    loaded.graph.initializer.append(kept)
    loaded.graph.node[-1].output[0] = "all"
    loaded.graph.node.append(onnx.helper.make_node("Compress", ["all", "kept"], ["output"], axis=1))
    onnx.save(loaded, folder / "model.onnx")
    tagger = opened(folder)
    with pytest.raises(UserError) as caught:
        tagger.describe([tagger.prepare(noise(8, 8), NOBODY)])
    assert caught.value.problem.code == "tagger_mismatch"
    assert caught.value.problem.params["num_tags"] == num and caught.value.problem.params["found"] == str(num - 1)


@pytest.mark.parametrize("more", [True, False])
def test_a_model_that_takes_something_else_is_told(model: Path, more: bool) -> None:
    loaded = onnx.load(model / "model.onnx")
    if more:
        loaded.graph.input.append(onnx.helper.make_tensor_value_info("mask", onnx.TensorProto.FLOAT, [1]))
    else:
        loaded.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 12
    onnx.save(loaded, model / "model.onnx")
    with pytest.raises(UserError) as caught:
        opened(model)
    assert caught.value.problem.code == "tagger_input"
    assert ("mask" if more else "12") in caught.value.problem.params["found"]


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
    assert caught.value.problem.params["found"] == "cpu"  # as it is written in the configuration


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_device_that_does_not_start_is_told_and_the_processor_takes_its_place(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu, cuda = "CPUExecutionProvider", "CUDAExecutionProvider"
    # As a build for cards where CUDA's libraries are missing: the session is silently one on the processor.
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [cuda, cpu])
    tagger = load(files.at(model), TaggingConfig())
    assert tagger.device == "CPU"
    assert tagger.note is not None and tagger.note.code == "tagger_device_failed"
    assert tagger.note.params["value"] == "CUDA"


def test_a_device_that_breaks_at_its_first_batch_is_told_and_the_processor_takes_its_place(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["DmlExecutionProvider", CPU])

    class Broken:
        def __init__(self, path: str, providers: list[str]) -> None:
            self.session, self.providers = session(path, providers=[CPU]), providers

        def get_providers(self) -> list[str]:
            return self.providers

        def get_inputs(self) -> list[object]:
            return self.session.get_inputs()

        def get_outputs(self) -> list[object]:
            return self.session.get_outputs()

        def run(self, *given: object) -> object:
            if self.providers[0] != CPU:
                raise RuntimeError("8007000E Not enough memory\nmore")
            return self.session.run(*given)

    session = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession", Broken)
    tagger = load(files.at(model), TaggingConfig(device="directml"))
    assert tagger.device == "CPU" and tagger.note is not None
    assert tagger.note.params == {"value": "Dml", "reason": "8007000E Not enough memory"}
    assert tagger.describe([tagger.prepare(Image.new("RGB", (4, 4)), NOBODY)])[0].scores is not None


def test_a_card_that_nobody_uses_is_told(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(files.at(model), TaggingConfig(device="cpu")).note is None
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])
    monkeypatch.setattr("taggers.onnx.NVIDIA", sys.executable)
    note = load(files.at(model), TaggingConfig()).note
    assert note is not None and note.code == "tagger_card_idle"
    assert load(files.at(model), TaggingConfig(device="cpu")).note is None, "it was asked for"


def test_a_device_that_breaks_later_is_told_with_the_size_of_the_batch(model: Path) -> None:
    tagger = opened(model)
    wrong = [np.zeros((3, 3, 3), np.float32)] * 2
    with pytest.raises(UserError) as caught:
        tagger.describe(wrong)
    assert caught.value.problem.code == "tagger_broke"
    assert caught.value.problem.params["num"] == 2
