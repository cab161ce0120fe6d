"""Models that give pictures numbers: aesthetic scorers, and CLIP or SigLIP embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from backend.config.problems import Problem
from taggers import transformer
from taggers.base import Described, Picture
from taggers.config import TaggingConfig
from taggers.tags import TagList

# What scorers call a picture that is good.
GOOD = ("aesthetic", "hq", "high quality", "good", "positive", "label_1")


class _Looker:
    """What scorers and embedders share."""

    tags: TagList | None = None
    note: Problem | None = None
    writes_captions = False
    fixed_batch = 0

    def __init__(self, path: Path, config: TaggingConfig, model_class: Any) -> None:
        from transformers import AutoImageProcessor

        self._processor, self._model, self.device = transformer.load(path, AutoImageProcessor, model_class, config)

    def prepare(self, image: Image.Image, picture: Picture) -> Any:  # noqa: ARG002 - other taggers ask who it is
        """Return the pixels of a picture as the model takes them."""
        return self._processor(images=transformer.fitted(image), return_tensors="pt")["pixel_values"][0]

    def _batch(self, prepared: Sequence[Any]) -> Any:
        import torch

        return torch.stack(list(prepared)).to(self._model.device, self._model.dtype)


class Scorer(_Looker):
    """An image classifier or regression whose answer is how good a picture looks."""

    def __init__(self, path: Path, config: TaggingConfig) -> None:
        """Load a model; as `transformer.load`."""
        from transformers import AutoModelForImageClassification

        super().__init__(path, config, AutoModelForImageClassification)
        labels = {int(place): str(name).lower() for place, name in self._model.config.id2label.items()}
        self._place = next((place for name in GOOD for place, label in labels.items() if label == name), 0)

    def describe(self, prepared: Sequence[Any]) -> list[Described]:
        """Return the chance that a picture is good, 0 to 1; of a regression its number."""
        import torch

        with torch.inference_mode():
            logits = self._model(pixel_values=self._batch(prepared)).logits.float()
        scores = logits[:, 0] if logits.shape[1] == 1 else logits.softmax(1)[:, self._place]
        return [Described(rating=float(score)) for score in scores]


class Embedder(_Looker):
    """CLIP or SigLIP: pictures that look alike have vectors that point the same way."""

    def __init__(self, path: Path, config: TaggingConfig) -> None:
        """Load a model; as `transformer.load`."""
        from transformers import AutoModel

        super().__init__(path, config, AutoModel)

    def describe(self, prepared: Sequence[Any]) -> list[Described]:
        """Return a vector of length 1 for each picture."""
        import torch

        with torch.inference_mode():
            found = self._model.get_image_features(pixel_values=self._batch(prepared))
        vectors = getattr(found, "pooler_output", found).float().cpu().numpy()
        lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return [Described(embedding=row) for row in vectors / lengths]
