"""Models that describe pictures in sentences: Florence-2, BLIP, Qwen-VL, LLaVA and JoyCaption, through transformers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from taggers import transformer
from taggers.base import Described, Picture
from taggers.config import TaggingConfig
from taggers.files import model_type
from taggers.tags import TagList

CaptionOf = Callable[[Picture], str]
ASKED = "Write a detailed description of this picture in one paragraph."


@dataclass(frozen=True, slots=True)
class Style:
    """How a kind of model is asked. `form` is used where the model brings no chat template of its own."""

    prompt: str = ASKED
    form: str = "{prompt}"
    has_chat: bool = True


# By the `model_type` of config.json; all others are asked as in a chat.
STYLES = {
    "florence2": Style("<MORE_DETAILED_CAPTION>", has_chat=False),
    "blip": Style("", has_chat=False),
    "blip-2": Style("", form="Question: {prompt} Answer:", has_chat=False),
    "instructblip": Style(has_chat=False),
    "git": Style("", has_chat=False),
    "llava": Style(form="USER: <image>\n{prompt} ASSISTANT:"),
}
CHAT = Style()


@dataclass(frozen=True, slots=True)
class Question:
    """A picture, and what is asked of it."""

    image: Image.Image
    prompt: str


def filled(template: str, picture: Picture, caption: str) -> str:
    """Return a prompt with the facts of a picture in the place of {tags}, {name} and {folder}."""
    path = PurePosixPath(picture.name)
    folder = path.parent.name or Path(picture.folder).name
    return template.replace("{tags}", caption).replace("{name}", path.stem).replace("{folder}", folder)


class Captioner:
    """A loaded model that writes sentences."""

    tags: TagList | None = None
    writes_captions = True
    fixed_batch = 0

    def __init__(self, path: Path, config: TaggingConfig, prompt: str, caption_of: CaptionOf) -> None:
        """Load a model.

        Args:
            path: Its folder.
            config: Device, weights, length and the user's prompt.
            prompt: What its row in the list asks; empty: what suits its kind.
            caption_of: Returns the caption that a picture has so far.

        Raises:
            UserError: As `transformer.load`.
        """
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.style = STYLES.get(model_type(path), CHAT)
        self.template = config.prompt.strip() or prompt or self.style.prompt
        self._processor, self._model, self.device = transformer.load(
            path, AutoProcessor, AutoModelForImageTextToText, config
        )
        self._length = config.max_new_tokens
        self._caption_of = caption_of
        tokenizer = getattr(self._processor, "tokenizer", None)
        if tokenizer is not None and not getattr(self._model.config, "is_encoder_decoder", False):
            tokenizer.padding_side = "left"  # the answer follows the question directly
            tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token

    def prepare(self, image: Image.Image, picture: Picture) -> Question:
        """Return a picture with its question."""
        caption = self._caption_of(picture) if "{tags}" in self.template else ""
        return Question(image, self._asked(filled(self.template, picture, caption)))

    def _asked(self, prompt: str) -> str:
        """Return a prompt in the form that the model was trained with."""
        if self.style.has_chat and getattr(self._processor, "chat_template", None):
            content = [{"type": "image"}, {"type": "text", "text": prompt}]
            message = [{"role": "user", "content": content}]
            return str(self._processor.apply_chat_template(message, add_generation_prompt=True, tokenize=False))
        return self.style.form.replace("{prompt}", prompt) if prompt else ""

    def describe(self, prepared: Sequence[Question]) -> list[Described]:
        """Return a sentence or more of each picture."""
        import torch

        texts = [question.prompt for question in prepared]
        given = {"text": texts, "padding": True} if any(texts) else {}
        inputs = self._processor(images=[question.image for question in prepared], return_tensors="pt", **given)
        inputs = inputs.to(self._model.device, self._model.dtype)
        with torch.inference_mode():
            written = self._model.generate(**inputs, max_new_tokens=self._length, do_sample=False)
        return [Described(text=text) for text in self._read(written, inputs)]

    def _read(self, written: Any, inputs: Any) -> list[str]:
        """Return the answers in what was generated, which may begin with the questions."""
        asked = inputs.get("input_ids")
        if asked is not None and written.shape[1] >= asked.shape[1] and (written[:, : asked.shape[1]] == asked).all():
            written = written[:, asked.shape[1] :]
        return [str(text).strip() for text in self._processor.batch_decode(written, skip_special_tokens=True)]
