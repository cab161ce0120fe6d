"""What every family of the registry must do, on a tiny random model."""

from __future__ import annotations

import json
import random

import numpy
import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from safetensors.torch import load_file

from backend.families.specs import FAMILIES
from backend.formats.files import save_safetensors
from backend.formats.header import read_header
from backend.formats.kohya import to_kohya

pytestmark = pytest.mark.parametrize("name", FAMILIES)
RANK, ALPHA = 4, 2.0


def put_lora_on(family):
    """Put a LoRA on every component and return its trainable parameters."""
    for component in family.lora_prefixes:
        config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=family.adapter_modules(component))
        inject_adapter_in_model(config, family.components[component])
    modules = [family.components[component] for component in family.lora_prefixes]
    return [weight for module in modules for weight in module.parameters() if weight.requires_grad]


def lora_file(family, path):
    """Write the LoRA in kohya's layout and return the path."""
    tensors = {}
    for component, prefix in family.lora_prefixes.items():
        state = family.components[component].state_dict()
        lora = {key.replace(".default.", "."): value for key, value in state.items() if "lora_" in key}
        alphas = {key.split(".lora_")[0]: ALPHA for key in lora}
        module_map = lambda module, part=component: family.export_keys(part, module)  # noqa: E731
        tensors |= to_kohya(lora, alphas=alphas, prefix=prefix, module_map=module_map)
    save_safetensors(path, tensors, {})
    return path


def train(family, batch, *, num_steps=1):
    weights = put_lora_on(family)
    optimizer = torch.optim.AdamW(weights, lr=1e-2)
    losses = []
    for _ in range(num_steps + 1):
        loss = batch.loss(family)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses


def paint(pipeline, family, prompt, sampling):
    """Paint with a plain pipeline of diffusers what `Family.sample` paints."""
    pipeline.scheduler = family.sampler(sampling.sampler)
    return pipeline(
        prompt.prompt,
        negative_prompt=prompt.negative_prompt,
        width=64,
        height=64,
        num_inference_steps=sampling.num_inference_steps,
        guidance_scale=sampling.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(prompt.seed),
    ).images[0]


def furthest(one, other):
    """Return the greatest difference of a pixel's channel, of 255."""
    return abs(numpy.asarray(one, dtype=int) - numpy.asarray(other, dtype=int)).max()


def assert_same_picture(one, other):
    assert numpy.asarray(one).std() > 1, "a plain picture proves nothing"
    assert furthest(one, other) <= 1


def test_everything_is_frozen_and_in_eval_mode(name, load):
    family = load(name)
    assert set(family.components) == {"denoiser", "vae", *family.spec.text_encoders}
    for module in family.components.values():
        assert not module.training
        assert not any(weight.requires_grad for weight in module.parameters())


def test_shapes(name, load, batch):
    family = load(name)
    latents = family.encode_images(torch.rand(2, 3, 64, 96) * 2 - 1)
    assert latents.shape == (2, 4, 64 // family.vae_scale_factor, 96 // family.vae_scale_factor)
    assert latents.dtype == torch.float32
    assert batch.predict(family).shape == batch.latents.shape


def test_a_draw_from_the_posterior_follows_the_generator(name, load):
    family = load(name)
    pixels = torch.rand(1, 3, 64, 64) * 2 - 1
    draws = [family.encode_images(pixels, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], family.encode_images(pixels))


def test_one_step_of_a_lora_lowers_the_loss(name, load, batch):
    before, after = train(load(name), batch)
    assert after < before


def test_one_step_on_all_weights_lowers_the_loss(name, load, batch):
    family = load(name)
    weights = [weight for part in family.lora_prefixes for weight in family.components[part].parameters()]
    optimizer = torch.optim.AdamW([weight.requires_grad_() for weight in weights], lr=1e-4)
    loss = batch.loss(family)
    loss.backward()
    optimizer.step()
    assert batch.loss(family) < loss


def test_training_reaches_the_text_encoders(name, load, batch):
    family = load(name)
    put_lora_on(family)
    batch.loss(family).backward()
    for component in family.lora_prefixes:
        gradients = [w.grad.abs().sum() for w in family.components[component].parameters() if w.grad is not None]
        assert sum(gradients) > 0, component


def test_a_trained_lora_paints_the_same_in_diffusers(name, load, batch, prompt, sampling, tiny_folder, tmp_path):
    family = load(name)
    plain = family.sample(prompt, sampling, width=64, height=64)
    train(family, batch, num_steps=3)
    ours = family.sample(prompt, sampling, width=64, height=64)
    assert furthest(plain, ours) > 4, "a LoRA that changes nothing proves nothing"

    path = lora_file(family, tmp_path / "lora.safetensors")
    pipeline = family.pipeline_class.from_pretrained(tiny_folder(name))
    pipeline.load_lora_weights(path)
    pipeline.set_progress_bar_config(disable=True)
    assert_same_picture(paint(pipeline, family, prompt, sampling), ours)


def test_every_weight_of_a_lora_file_is_read_by_diffusers(name, load, batch, tiny_folder, tmp_path):
    family = load(name)
    num_weights = len(put_lora_on(family))
    path = lora_file(family, tmp_path / "lora.safetensors")
    assert len([key for key in load_file(path) if not key.endswith(".alpha")]) == num_weights
    pipeline = family.pipeline_class.from_pretrained(tiny_folder(name))
    pipeline.load_lora_weights(path)
    parts = [pipeline.unet, *(getattr(pipeline, encoder) for encoder in family.spec.text_encoders)]
    assert sum("lora_" in key for part in parts for key in part.state_dict()) == num_weights


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_saved_folder_is_the_same_model_for_us_and_for_diffusers(
    name, dtype, load, batch, prompt, sampling, tmp_path
):
    family = load(name)
    with torch.no_grad():
        for weight in family.components["denoiser"].parameters():
            weight.mul_(1.05)
    folder = tmp_path / "\u6a21\u578b out"
    family.save(folder, layout="diffusers", dtype=dtype, metadata={"title": "x"})
    again = load(name, folder)
    if dtype == torch.float32:
        assert torch.equal(again_prediction := batch.predict(again), batch.predict(family)), again_prediction
        assert again.identities == family.identities
    pipeline = family.pipeline_class.from_pretrained(folder, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    ours = again.sample(prompt, sampling, width=64, height=64)
    assert_same_picture(paint(pipeline, again, prompt, sampling), ours)


def test_a_saved_file_is_the_same_model_for_us_and_for_diffusers(name, load, batch, single_file, tiny_folder):
    family, path = load(name), single_file(name)
    from_file = load(name, path, config_dir=str(tiny_folder(name)))
    assert torch.equal(batch.predict(from_file), batch.predict(family))
    assert from_file.identities == family.identities
    assert from_file.prediction_type == family.prediction_type
    pipeline = family.pipeline_class.from_single_file(path, config=str(tiny_folder(name)))
    for component, module in family.components.items():
        theirs = getattr(pipeline, "unet" if component == "denoiser" else component).state_dict()
        assert all(torch.equal(theirs[key], value) for key, value in module.state_dict().items()), component


def test_a_saved_folder_can_be_read_by_older_versions(name, load, tmp_path):
    family = load(name)
    family.save(tmp_path / "out", layout="diffusers", dtype=torch.float16, metadata={"modelspec.title": "\u732b"})
    for encoder in family.spec.text_encoders:
        tensors = read_header(tmp_path / "out" / encoder / "model.safetensors").tensors
        assert all(key.startswith(("text_model.", "text_projection.")) for key in tensors)
        assert {info.dtype for info in tensors.values()} == {"F16"}
        tokenizer = tmp_path / "out" / encoder.replace("text_encoder", "tokenizer")
        vocabulary = json.loads((tokenizer / "vocab.json").read_text(encoding="utf-8"))
        assert vocabulary == family.tokenizers[encoder].get_vocab()
        assert (tokenizer / "merges.txt").is_file()
    metadata = json.loads((tmp_path / "out" / "metadata.json").read_text(encoding="utf-8"))
    assert metadata == {"modelspec.title": "\u732b"}


def test_saving_again_replaces_the_folder(name, load, tmp_path):
    family = load(name)
    out = tmp_path / "out"
    out.mkdir()
    (out / "older.txt").write_text("x", encoding="utf-8")
    family.save(out, layout="diffusers", dtype=torch.float16, metadata={})
    assert not (out / "older.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_saving_reads_what_was_unloaded_again(name, load, batch, tmp_path):
    family = load(name)
    family.unload(*family.spec.text_encoders, "vae")
    family.save(tmp_path / "out", layout="diffusers", dtype=torch.float32, metadata={})
    assert torch.equal(batch.predict(load(name, tmp_path / "out")), batch.predict(load(name)))


def test_identities_follow_the_weights(name, load):
    family = load(name)
    before = family.identities
    assert set(before) == {"vae", *family.spec.text_encoders}
    for component in before:
        weights = list(family.components[component].parameters())
        with torch.no_grad():
            weights[-1].view(-1)[-1] += 1e-3
        assert family.identities[component] != before[component]


def test_identities_follow_how_captions_are_read(name, load):
    assert load(name).identities["text_encoder"] != load(name, max_token_length=150).identities["text_encoder"]
    assert load(name).identities["vae"] == load(name, max_token_length=150).identities["vae"]


def test_samples_are_deterministic_and_touch_no_random_state(name, load, prompt, sampling):
    family = load(name)
    family.components["denoiser"].train()
    states = torch.get_rng_state(), numpy.random.get_state()[1].copy(), random.getstate()
    pictures = [family.sample(prompt, sampling, width=64, height=96) for _ in range(2)]
    assert pictures[0].tobytes() == pictures[1].tobytes()
    assert pictures[0].size == (64, 96)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert numpy.array_equal(numpy.random.get_state()[1], states[1])
    assert random.getstate() == states[2]
    assert family.components["denoiser"].training
    assert not family.components["vae"].training


@pytest.mark.parametrize("zero_snr", [False, True])
def test_every_sampler_paints(name, zero_snr, load, prompt, sampling):
    family = load(name, prediction_type="v_prediction")
    if zero_snr:
        family.enable_zero_terminal_snr()
    for sampler in ("ddim", "euler", "euler_a", "dpm++_2m"):
        picture = family.sample(prompt, sampling.model_copy(update={"sampler": sampler}), width=64, height=64)
        assert numpy.asarray(picture).std() > 1, sampler


def test_prepared_prompts_outlive_the_text_encoders(name, load, prompt, sampling):
    family = load(name)
    with_encoders = family.sample(prompt, sampling, width=64, height=64)
    family.prepare_prompts([prompt])
    family.unload(*family.spec.text_encoders)
    assert family.sample(prompt, sampling, width=64, height=64).tobytes() == with_encoders.tobytes()


@pytest.mark.parametrize(("max_token_length", "length"), [(75, 77), (150, 152), (225, 227)])
def test_long_captions_are_read_in_chunks(name, max_token_length, length, load, prompt, sampling):
    family = load(name, max_token_length=max_token_length)
    long = " ".join(["cat"] * 100)
    text = family.encode_text([long, "cat"])
    assert text["prompt_embeds"].shape[:2] == (2, length)
    more = family.encode_text([long + " dog", "cat"])
    assert torch.equal(more["prompt_embeds"], text["prompt_embeds"]) == (max_token_length == 75)
    family.sample(prompt.model_copy(update={"prompt": long}), sampling, width=64, height=64)


def test_gradient_checkpointing_changes_no_gradient(name, load, batch):
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        family = load(name)
        weights = put_lora_on(family)
        for component in family.lora_prefixes:
            module = family.components[component].train()
            if checkpointing and component == "denoiser":
                module.enable_gradient_checkpointing()
            elif checkpointing:
                module.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        torch.manual_seed(1)
        for weight in weights:
            torch.nn.init.normal_(weight, std=0.1)
        batch.loss(family).backward()
        gradients.append([weight.grad for weight in weights])
    for plain, checkpointed in zip(*gradients, strict=True):
        assert (plain is None) == (checkpointed is None)
        if plain is not None:
            torch.testing.assert_close(checkpointed, plain, rtol=1e-4, atol=1e-6)
