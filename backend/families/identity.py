"""Short content hashes of modules, so that what was cached from one set of weights is never used with another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

NUM_SAMPLES = 256
INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def identity(module: nn.Module, **settings: Any) -> str:
    """Return 16 hex digits that depend on every weight, on the module's configuration and on the settings.

    Each tensor is read once: the sum of its bits as integers, which no order of summation changes, and sampled bits.
    """
    digest = hashlib.sha256()
    digest.update(json.dumps([_configuration(module), settings], sort_keys=True, default=str).encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(_fingerprint(tensor))
    return digest.hexdigest()[:16]


def _fingerprint(tensor: Tensor) -> bytes:
    bits = tensor.detach().contiguous().flatten().view(INTEGERS[tensor.element_size()])
    step = max(1, bits.numel() // NUM_SAMPLES)
    return str(bits.sum(dtype=torch.int64).item()).encode() + bits[::step].cpu().numpy().tobytes()


def _configuration(module: nn.Module) -> Mapping[str, Any]:
    """Return the settings that shape the output; where the module came from does not."""
    config = module.config
    values = config.to_dict() if hasattr(config, "to_dict") else dict(config)
    return {key: value for key, value in values.items() if not key.startswith("_") and "version" not in key}
