"""What is particular to SD 1.x, 2.x and XL: how text is read, sizes, VAE scaling."""

from __future__ import annotations

import pytest
import torch

from backend.families.base import Geometry


def plain_prompt_embeds(family, captions):
    """Encode as diffusers' own pipeline does."""
    parts = {name: family.components[name] for name in ("denoiser", "vae", *family.spec.text_encoders)}
    pipeline = family._pipeline(family.scheduler, parts)
    return pipeline.encode_prompt(
        prompt=captions, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
    )


@pytest.mark.parametrize("name", ["sd15", "sd2"])
def test_text_is_read_as_diffusers_reads_it(name, load, batch):
    family = load(name)
    expected, _ = plain_prompt_embeds(family, batch.captions)
    torch.testing.assert_close(family.encode_text(batch.captions)["prompt_embeds"], expected)


def test_sdxl_reads_text_as_diffusers_does(load, batch):
    family = load("sdxl", clip_skip=1)
    expected, _, pooled, _ = plain_prompt_embeds(family, batch.captions)
    text = family.encode_text(batch.captions)
    torch.testing.assert_close(text["prompt_embeds"], expected)
    torch.testing.assert_close(text["pooled_prompt_embeds"], pooled)


@pytest.mark.parametrize("clip_skip", [1, 2, 3])
def test_clip_skip_is_the_layer_from_the_end_through_the_final_norm(clip_skip, load, batch):
    family = load("sd15", clip_skip=clip_skip)
    encoder = family.components["text_encoder"]
    ids = family.tokenizers["text_encoder"](
        batch.captions, padding="max_length", max_length=77, return_tensors="pt"
    ).input_ids
    hidden = encoder.embeddings(ids)
    mask = torch.full((77, 77), float("-inf")).triu(1)[None, None]
    for layer in encoder.encoder.layers[: 4 - clip_skip]:
        hidden = layer(hidden, mask)
    torch.testing.assert_close(family.encode_text(batch.captions)["prompt_embeds"], encoder.final_layer_norm(hidden))


def test_sdxl_pools_the_first_chunk(load):
    long, short = load("sdxl", max_token_length=225), load("sdxl")
    captions = [" ".join(["cat"] * 75 + ["dog"] * 20), "a dog"]
    first = [" ".join(["cat"] * 75), "a dog"]
    torch.testing.assert_close(
        long.encode_text(captions)["pooled_prompt_embeds"], short.encode_text(first)["pooled_prompt_embeds"]
    )


def test_a_short_caption_reads_the_same_in_the_first_chunk(load):
    long, short = load("sd15", max_token_length=150), load("sd15")
    states = long.encode_text(["a cat"])["prompt_embeds"]
    torch.testing.assert_close(states[:, :76], short.encode_text(["a cat"])["prompt_embeds"][:, :76])


def test_sdxl_is_told_sizes_as_diffusers_tells_them(load, batch):
    family = load("sdxl")
    told = {}
    unet = family.components["denoiser"]
    unet.register_forward_pre_hook(lambda _, __, kwargs: told.update(kwargs), with_kwargs=True)
    geometry = Geometry(
        original_sizes=torch.tensor([[1333, 1000], [64, 32]]),
        crop_top_lefts=torch.tensor([[5, 0], [0, 7]]),
        target_sizes=torch.tensor([[96, 64], [64, 64]]),
    )
    text = family.encode_text(batch.captions)
    family.predict(batch.noise, batch.timesteps, text, geometry)
    ids = told["added_cond_kwargs"]["time_ids"]
    assert ids.tolist() == [[1333, 1000, 5, 0, 96, 64], [64, 32, 0, 7, 64, 64]]
    pipeline = family._pipeline(family.scheduler, family.components)
    theirs = pipeline._get_add_time_ids((1333, 1000), (5, 0), (96, 64), torch.float32, text_encoder_projection_dim=48)
    assert torch.equal(ids[:1], theirs)
    assert torch.equal(told["added_cond_kwargs"]["text_embeds"], text["pooled_prompt_embeds"])


@pytest.mark.parametrize(("name", "factor"), [("sd15", 0.18215), ("sdxl", 0.13025)])
def test_latents_are_scaled(name, factor, load):
    family = load(name)
    pixels = torch.rand(2, 3, 64, 64) * 2 - 1
    expected = torch.cat([family.components["vae"].encode(one[None]).latent_dist.mean for one in pixels]) * factor
    torch.testing.assert_close(family.encode_images(pixels), expected)


def test_latents_do_not_depend_on_the_rest_of_the_batch(load):
    family = load("sd15")
    pixels = torch.rand(3, 3, 64, 64) * 2 - 1
    together = family.encode_images(pixels)
    assert all(torch.equal(together[i], family.encode_images(pixels[i : i + 1])[0]) for i in range(3))


def test_images_are_encoded_in_the_vaes_precision_under_autocast(load):
    family = load("sdxl")
    pixels = torch.rand(1, 3, 64, 64) * 2 - 1
    plain = family.encode_images(pixels)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(family.encode_images(pixels), plain)


def test_prediction_type_decides_the_target(load, batch):
    arguments = batch.latents, batch.noise, batch.timesteps
    assert load("sd15").prediction_type == "epsilon"
    assert torch.equal(load("sd15").target(*arguments), batch.noise)
    assert load("sd2").prediction_type == "v_prediction"
    forced = load("sd15", prediction_type="v_prediction")
    assert torch.equal(forced.target(*arguments), load("sd2").target(*arguments))


def test_predictions_in_half_precision_are_fp32_and_close(load, batch):
    exact = batch.predict(load("sdxl"))
    half = batch.predict(load("sdxl", dtype=torch.bfloat16))
    assert half.dtype == torch.float32
    assert (half - exact).abs().mean() < 0.05 * exact.abs().mean()
