"""LoRA files in kohya's layout, read back by us and by diffusers' own loader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from diffusers import DiffusionPipeline
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from torch import Tensor, nn

from backend.config.problems import UserError
from backend.formats import ldm_keys
from backend.formats.files import save_safetensors
from backend.formats.kohya import from_kohya, module_of, to_kohya

RANK = 3
# By the end of a module's name: linear layers, 1x1 and 3x3 convolutions, each with an alpha of its own.
UNET_ALPHAS = {
    "to_q": 1.5, "to_out.0": 4.0, "ff.net.0.proj": 0.25, "proj_in": 3.0, "conv1": 2.0, "conv_shortcut": 1.0,
    "downsamplers.0.conv": 5.0, "upsamplers.0.conv": 0.5, "time_emb_proj": 6.0,
}  # fmt: skip
TEXT_ALPHAS = {"q_proj": 1.5, "out_proj": 4.0, "fc1": 0.25}


def with_lora(module: nn.Module, alphas: dict[str, float]) -> tuple[Any, dict[str, Tensor], dict[str, float]]:
    """Return the model under peft, with weights that change something, its state, and the alpha of each module."""
    names = [name for name, part in module.named_modules() if isinstance(part, nn.Linear | nn.Conv2d)]
    wanted = {name: alpha for name in names for end, alpha in alphas.items() if f".{name}".endswith(f".{end}")}
    config = LoraConfig(r=RANK, target_modules=list(wanted), alpha_pattern={f"^{k}$": v for k, v in wanted.items()})
    model = get_peft_model(module, config)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            nn.init.normal_(parameter, std=0.3)
    return model, get_peft_model_state_dict(model), wanted


def text_name(module: str) -> str:
    return ldm_keys.clip_name(module)


def parts_of(pipeline: DiffusionPipeline, family: str) -> dict[str, tuple[str, Callable[[str], str]]]:
    """Return the prefix and the module map of each component that a LoRA is put on."""
    if family != "sdxl":
        return {"unet": ("lora_unet", str), "text_encoder": ("lora_te", text_name)}
    config = dict(pipeline.unet.config)
    return {
        "unet": ("lora_unet", lambda module: ldm_keys.sdxl_module_name(module, config)),
        "text_encoder": ("lora_te1", text_name),
        "text_encoder_2": ("lora_te2", text_name),
    }


@torch.no_grad()
def outputs(pipeline: DiffusionPipeline, family: str) -> list[Tensor]:
    """Run every part that a LoRA is put on once, each on inputs of its own."""
    generator = torch.Generator().manual_seed(5)
    tokens = torch.randint(0, 500, (1, 12), generator=generator)
    encoders = [part for name in ("text_encoder", "text_encoder_2") if (part := getattr(pipeline, name, None))]
    results = [encoder(tokens, output_hidden_states=True).hidden_states[-2] for encoder in encoders]
    config = pipeline.unet.config
    extra = {}
    if family == "sdxl":
        extra["added_cond_kwargs"] = {
            "text_embeds": torch.randn(1, 48, generator=generator),
            "time_ids": torch.tensor([[64.0, 64, 0, 0, 64, 64]]),
        }
    latents = torch.randn(1, 4, 8, 8, generator=generator)
    text = torch.randn(1, 12, config.cross_attention_dim, generator=generator)
    results.append(pipeline.unet(latents, 500, encoder_hidden_states=text, **extra).sample)
    return results


def train(pipeline: DiffusionPipeline, family: str, *, alpha: float | None) -> tuple[dict[str, Tensor], dict]:
    """Put a LoRA on every part; return the file's tensors and, by part, its prefix and modules by name in the file.

    `alpha` of all modules; None for one of each module's own.
    """
    torch.manual_seed(0)
    file: dict[str, Tensor] = {}
    written = {}
    for name, (prefix, module_map) in parts_of(pipeline, family).items():
        alphas = UNET_ALPHAS if name == "unet" else TEXT_ALPHAS
        model, lora, by_module = with_lora(getattr(pipeline, name), {end: alpha or own for end, own in alphas.items()})
        file |= to_kohya(lora, alphas=by_module, prefix=prefix, module_map=module_map)
        written[name] = (prefix, {module_map(module).replace(".", "_"): module for module in by_module})
        setattr(pipeline, name, model.base_model.model)
    assert len(file) == 3 * sum(len(modules) for _, modules in written.values())
    return file, written


def assert_same(plain: list[Tensor], ours: list[Tensor], theirs: list[Tensor]) -> None:
    for before, expected, found in zip(plain, ours, theirs, strict=True):
        assert (expected - before).abs().max() > 1e-2, "a LoRA that changes nothing proves nothing"
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


# One alpha for all, as we train: diffusers 0.42 itself loses the names of alphas that differ within a part.
@pytest.mark.parametrize("family", tiny.PIPELINES)
def test_diffusers_computes_with_the_file_what_peft_computes(
    family: str, tmp_path: Path, tiny_folder: Callable[[str], Path]
) -> None:
    trained = DiffusionPipeline.from_pretrained(tiny_folder(family))
    plain = outputs(trained, family)
    file, _ = train(trained, family, alpha=1.25)
    save_safetensors(tmp_path / "lora.safetensors", file, {})
    pipeline = DiffusionPipeline.from_pretrained(tiny_folder(family))
    pipeline.load_lora_weights(tmp_path / "lora.safetensors")
    assert_same(plain, outputs(trained, family), outputs(pipeline, family))


@pytest.mark.parametrize("family", tiny.PIPELINES)
def test_merging_by_kohyas_formula_gives_what_peft_computes(family: str, tiny_folder: Callable[[str], Path]) -> None:
    trained = DiffusionPipeline.from_pretrained(tiny_folder(family))
    plain = outputs(trained, family)
    file, written = train(trained, family, alpha=None)
    pipeline = DiffusionPipeline.from_pretrained(tiny_folder(family))
    for name, (prefix, modules) in written.items():
        for file_name, module in modules.items():
            weight = getattr(pipeline, name).get_submodule(module).weight
            stem = f"{prefix}_{file_name}"
            down, up = file[f"{stem}.lora_down.weight"], file[f"{stem}.lora_up.weight"]
            delta = (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
            weight.data += file[f"{stem}.alpha"] / down.shape[0] * delta
    assert_same(plain, outputs(trained, family), outputs(pipeline, family))


@pytest.mark.parametrize("family", tiny.PIPELINES)
def test_what_is_written_reads_back_as_it_was(family: str) -> None:
    pipeline = tiny.PIPELINES[family]()
    file: dict[str, Tensor] = {}
    written = {}
    for name, (prefix, module_map) in parts_of(pipeline, family).items():
        _, lora, alphas = with_lora(getattr(pipeline, name), UNET_ALPHAS if name == "unet" else TEXT_ALPHAS)
        file |= to_kohya(lora, alphas=alphas, prefix=prefix, module_map=module_map)
        written[prefix] = (lora, alphas, {module_map(module).replace(".", "_"): module for module in alphas})
    for prefix, (lora, alphas, modules) in written.items():
        assert len(modules) == len(alphas), "two modules share a name in the file"
        back, back_alphas = from_kohya(file, prefix=prefix, modules=modules)
        assert back_alphas == alphas
        assert back.keys() == {key.removeprefix("base_model.model.") for key in lora}
        assert all(torch.equal(back[key.removeprefix("base_model.model.")], tensor) for key, tensor in lora.items())


@pytest.mark.parametrize(
    "key", ["base_model.model.a.b.lora_A.weight", "a.b.lora_A.weight", "a.b.lora_A.default.weight"]
)
def test_every_spelling_of_peft_is_known(key: str) -> None:
    assert module_of(key) == ("a.b", "lora_A")
    file = to_kohya({key: torch.ones(2, 4)}, alphas={"a.b": 0.5}, prefix="lora_unet", module_map=str)
    assert file.keys() == {"lora_unet_a_b.lora_down.weight", "lora_unet_a_b.alpha"}
    assert file["lora_unet_a_b.alpha"].dtype == torch.float32
    assert file["lora_unet_a_b.alpha"].shape == ()


def test_a_file_without_alphas_is_scaled_by_one() -> None:
    state = {"lora_te_a.lora_down.weight": torch.ones(2, 4), "lora_te_a.lora_up.weight": torch.ones(4, 2)}
    lora, alphas = from_kohya(state, prefix="lora_te", modules={"a": "a", "absent": "absent"})
    assert alphas == {"a": 2.0}
    assert lora.keys() == {"a.lora_A.weight", "a.lora_B.weight"}


def test_half_a_module_is_said() -> None:
    state = {"lora_te_a.lora_down.weight": torch.ones(2, 4)}
    with pytest.raises(UserError, match="lora_te_a"):
        from_kohya(state, prefix="lora_te", modules={"a": "a"})
