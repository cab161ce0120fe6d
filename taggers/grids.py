"""The processor of Qwen's vision models, for pictures only: their own one needs torchvision for films."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

IMAGE_TOKEN = "<|image_pad|>"


class GridProcessor:
    """Cuts pictures into grids of patches, and makes room for them in the texts."""

    def __init__(self, image_processor: Any, tokenizer: Any) -> None:
        self.image_processor = image_processor
        self.tokenizer = tokenizer
        self.chat_template = tokenizer.chat_template
        self.image_token = str(getattr(tokenizer, "image_token", None) or IMAGE_TOKEN)

    @classmethod
    def from_pretrained(cls, path: Path, **options: Any) -> GridProcessor:
        """Load both parts; as the classes of transformers."""
        from transformers import AutoImageProcessor, AutoTokenizer

        images = AutoImageProcessor.from_pretrained(path, **options)
        return cls(images, AutoTokenizer.from_pretrained(path, **options))

    def apply_chat_template(self, messages: Any, **options: Any) -> str:
        """Return messages in the form that the model was trained with."""
        return str(self.tokenizer.apply_chat_template(messages, **options))

    def __call__(self, images: Sequence[Image.Image], text: Sequence[str], **options: Any) -> Any:
        """Return what the model takes: each text has the mark of one picture, which becomes as many as it has cells."""
        from transformers import BatchFeature

        pictures = self.image_processor(images=list(images), return_tensors="pt")
        numbers = pictures["image_grid_thw"].prod(dim=1) // self.image_processor.merge_size**2
        texts = [
            each.replace(self.image_token, self.image_token * int(number), 1)
            for each, number in zip(text, numbers, strict=True)
        ]
        words = self.tokenizer(texts, **options)
        kinds = (words["input_ids"] == self.tokenizer.convert_tokens_to_ids(self.image_token)).int()
        return BatchFeature({**words, **pictures, "mm_token_type_ids": kinds})

    def batch_decode(self, tokens: Any, **options: Any) -> list[str]:
        """Return what tokens say."""
        return list(self.tokenizer.batch_decode(tokens, **options))
