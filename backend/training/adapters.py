"""What is trained: a LoRA put on some components, or the components themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from backend.config.model import AdapterSection
from backend.families.base import Family
from backend.formats.kohya import module_of, to_kohya


def add_lora(family: Family, components: list[str], adapter: AdapterSection, *, seed: int) -> None:
    """Put a LoRA on the components: A drawn from the seed (kaiming uniform), B zero, both in fp32."""
    torch.manual_seed(seed)
    for name in components:
        config = LoraConfig(
            r=adapter.rank,
            lora_alpha=adapter.alpha,
            lora_dropout=adapter.dropout,
            target_modules=family.adapter_modules(name),
        )
        inject_adapter_in_model(config, family.components[name])
        for parameter_name, parameter in family.components[name].named_parameters():
            is_lora = "lora_" in parameter_name
            parameter.requires_grad_(is_lora)
            if is_lora:
                parameter.data = parameter.data.float()


@contextmanager
def without_adapters(family: Family, components: list[str]) -> Iterator[None]:
    """Make the components answer as if they had no LoRA."""
    layers = [
        layer for name in components for layer in family.components[name].modules() if isinstance(layer, LoraLayer)
    ]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def unfreeze(family: Family, components: list[str]) -> None:
    """Make whole components trainable, in fp32."""
    for name in components:
        family.components[name].float().requires_grad_(True)


def trainable(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield what is trained of a module, by name."""
    return ((name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad)


@dataclass(frozen=True, slots=True)
class Trainable:
    """The trained parameters of a run by component and name."""

    parameters: dict[str, dict[str, nn.Parameter]]

    @classmethod
    def of(cls, family: Family, components: list[str]) -> Trainable:
        """Collect them."""
        return cls({name: dict(trainable(family.components[name])) for name in components})

    def all(self) -> list[nn.Parameter]:
        """Return them in a fixed order."""
        return [parameter for group in self.parameters.values() for parameter in group.values()]

    def state(self) -> dict[str, Tensor]:
        """Return the tensors as `component.name`."""
        return {
            f"{component}.{name}": parameter.detach()
            for component, group in self.parameters.items()
            for name, parameter in group.items()
        }

    @torch.no_grad()
    def load_state(self, state: dict[str, Tensor]) -> None:
        """Set the tensors; the names must be the same."""
        ours = self.state()
        assert ours.keys() == state.keys(), "the checkpoint holds other parameters"
        for name, tensor in ours.items():
            tensor.copy_(state[name])


def lora_state(family: Family, parameters: Trainable) -> dict[str, Tensor]:
    """Return the LoRA under kohya's keys with its alphas."""
    state: dict[str, Tensor] = {}
    for component, group in parameters.parameters.items():
        layers = {
            name: layer for name, layer in family.components[component].named_modules() if isinstance(layer, LoraLayer)
        }
        alphas = {module_of(name)[0]: float(layers[module_of(name)[0]].lora_alpha["default"]) for name in group}
        state |= to_kohya(
            group,
            alphas=alphas,
            prefix=family.lora_prefixes[component],
            module_map=partial(family.export_keys, component),
        )
    return state
