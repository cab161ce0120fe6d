"""LoRA files in kohya's layout: what sd-scripts writes and every image program reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from backend.config.problems import UserError

PEFT_PREFIX = "base_model.model."
# peft's name of each half, and kohya's.
HALVES = (("lora_A", "lora_down"), ("lora_B", "lora_up"))
ModuleMap = Callable[[str], str]


def module_of(key: str) -> tuple[str, str]:
    """Split a peft key into the module's path and the half: "lora_A" or "lora_B"."""
    name = key.removeprefix(PEFT_PREFIX)
    for half, _ in HALVES:
        for ending in (f".{half}.weight", f".{half}.default.weight"):
            if name.endswith(ending):
                return name.removesuffix(ending), half
    raise AssertionError(f"not a LoRA key: {key}")


def to_kohya(
    lora: Mapping[str, Tensor], *, alphas: Mapping[str, float], prefix: str, module_map: ModuleMap
) -> dict[str, Tensor]:
    """Rename one component's LoRA.

    Args:
        lora: peft's state: `{module}.lora_A.weight` (r, in) or (r, in, k, k) and `lora_B.weight` (out, r).
        alphas: The alpha of each module path.
        prefix: "lora_unet", "lora_te", "lora_te1" ...
        module_map: From the module's path here to its name in the file, dots kept.
    """
    names = dict(HALVES)
    renamed: dict[str, Tensor] = {}
    for key, tensor in lora.items():
        module, half = module_of(key)
        name = f"{prefix}_{module_map(module).replace('.', '_')}"
        renamed[f"{name}.{names[half]}.weight"] = tensor
        renamed[f"{name}.alpha"] = torch.tensor(float(alphas[module]), dtype=torch.float32)
    return renamed


def from_kohya(
    state: Mapping[str, Tensor], *, prefix: str, modules: Mapping[str, str]
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Read one component's LoRA back.

    Args:
        state: A kohya file's tensors; other components' keys are passed over.
        prefix: As in `to_kohya`.
        modules: The name in the file, with its dots as underscores, of each module here: `{file_name: module}`.

    Returns:
        peft's state, and the alpha of each module (its rank where the file has none).

    Raises:
        UserError: `lora_incomplete`: a module has only one of its two halves.
    """
    halves = {kohya: peft for peft, kohya in HALVES}
    lora: dict[str, Tensor] = {}
    alphas: dict[str, float] = {}
    for file_name, module in modules.items():
        name = f"{prefix}_{file_name}"
        found = {peft: state[key] for kohya, peft in halves.items() if (key := f"{name}.{kohya}.weight") in state}
        if not found:
            continue
        if len(found) < len(halves):
            raise UserError("lora_incomplete", value=name)
        lora |= {f"{module}.{peft}.weight": tensor for peft, tensor in found.items()}
        alphas[module] = float(state.get(f"{name}.alpha", found["lora_A"].shape[0]))
    return lora, alphas
