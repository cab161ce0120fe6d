"""The demo's base model: small, loads without a network, and paints what it is asked for."""

from pathlib import Path

import numpy
import pytest
import torch
from diffusers import StableDiffusionPipeline

from presets.demo.drawing import COLOURS

MODEL_DIR = Path(__file__).parents[2] / "presets/demo/base_model"


@pytest.fixture(scope="module")
def pipeline():
    pipe = StableDiffusionPipeline.from_pretrained(MODEL_DIR, local_files_only=True, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_it_is_small_and_holds_no_pickle():
    files = [path for path in MODEL_DIR.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 20_000_000
    assert {path.suffix for path in files} == {".json", ".safetensors"}


def test_it_is_an_ordinary_v_prediction_model_with_zero_terminal_snr(pipeline):
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert pipeline.scheduler.alphas_cumprod[-1] < 1e-6
    assert pipeline.vae_scale_factor == 1
    assert pipeline.tokenizer.model_max_length == 77


def test_words_are_single_tokens_and_the_new_word_is_unknown(pipeline):
    assert len(pipeline.tokenizer("a small red star on an orange background at the top").input_ids) == 13
    assert pipeline.tokenizer.tokenize("zkz") == ["z", "k", "z</w>"]


@pytest.mark.parametrize(("colour", "background"), [("red", "blue"), ("yellow", "black"), ("green", "white")])
def test_colours_are_painted_as_named(pipeline, colour, background):
    prompts = [f"a large {colour} circle on a {background} background"] * 4
    images = pipeline(
        prompts,
        num_inference_steps=10,
        guidance_scale=3.0,
        output_type="np",
        generator=[torch.Generator().manual_seed(seed) for seed in range(4)],
    ).images
    assert images.shape == (4, 40, 40, 3)
    middle, corner = images[:, 16:24, 16:24].mean(axis=(0, 1, 2)) * 255, images[:, :4, :4].mean(axis=(0, 1, 2)) * 255
    assert nearest_colour(middle) == colour
    assert nearest_colour(corner) == background


def nearest_colour(mean) -> str:
    return min(COLOURS, key=lambda name: numpy.square(numpy.subtract(COLOURS[name], mean)).sum())
