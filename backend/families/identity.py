"""Short content hashes of modules, so that what was cached from one set of weights is never used with another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

NUM_SAMPLES = 256


def identity(module: Any, **settings: Any) -> str:
    """Return 16 hex digits that depend on every weight of a module, on its configuration and on the settings.

    Each tensor is read once: the sum of its bytes as integers, which no order of summation changes, and sampled bytes.
    """
    digest = hashlib.sha256()
    digest.update(json.dumps([_configuration(module), settings], sort_keys=True, default=str).encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(_fingerprint(tensor))
    return digest.hexdigest()[:16]


def _fingerprint(tensor: Tensor) -> bytes:
    raw = tensor.detach().clone(memory_format=torch.contiguous_format).flatten().view(torch.uint8)
    words = raw[: raw.numel() // 8 * 8].view(torch.int64)
    rest = raw[words.numel() * 8 :]
    sampled = words[:: max(1, words.numel() // NUM_SAMPLES)]
    return str(words.sum().item()).encode() + sampled.cpu().numpy().tobytes() + rest.cpu().numpy().tobytes()


def _configuration(module: Any) -> Mapping[str, Any]:
    """Return the settings that shape the output; where the module came from does not."""
    config = module.config
    values = config.to_dict() if hasattr(config, "to_dict") else dict(config)
    return {key: value for key, value in values.items() if not key.startswith("_") and "version" not in key}
