"""Models that describe pictures in sentences: Florence-2, BLIP, Qwen-VL, LLaVA and JoyCaption, through transformers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from backend.config.problems import Problem
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
# Templates that take no pictures but plain words are of models that are told what they are, as JoyCaption.
SYSTEM = "You are a helpful image captioner."
# As many as 1536 by 1024.
MOST_PIXELS = 1_572_864
PROBE = "what is asked"
Messages = list[dict[str, Any]]

THINKS, THOUGHT = "<think>", "</think>"
# The same words three times or more; up to the end: of a model that no longer knows how to go on.
LOOP = re.compile(r"(?P<part>\w.{1,300}?[.!?。！？]?)(?:\W*(?P=part)){2,}", re.DOTALL)  # noqa: RUF001
SENTENCE_ENDS, COMMAS = ".!?。！？", ",，、;；"  # noqa: RUF001


@dataclass(frozen=True, slots=True)
class Question:
    """A picture, and what is asked of it."""

    image: Image.Image
    prompt: str


def seen(image: Image.Image) -> Image.Image:
    """Return a picture as it is shown to a model: photos at the size of training pictures.

    Qwen would see four times as many pixels of them, for as much more memory and time; and several wait at once.
    """
    image = transformer.fitted(image)
    if image.width * image.height <= MOST_PIXELS:
        return image
    scale = (MOST_PIXELS / (image.width * image.height)) ** 0.5
    size = max(1, int(image.width * scale)), max(1, int(image.height * scale))
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)


def filled(template: str, picture: Picture, caption: str) -> str:
    """Return a prompt with the facts of a picture in the place of {tags}, {name} and {folder}."""
    path = PurePosixPath(picture.name)
    folder = path.parent.name or Path(picture.folder).name
    facts = {"{tags}": caption, "{name}": path.stem, "{folder}": folder}
    # All at once: a caption may have {name} in it.
    return re.sub(r"\{(?:tags|name|folder)\}", lambda match: facts[match[0]], template)


def chats(prompt: str, mark: str) -> tuple[Messages, ...]:
    """Return the ways in which templates take a picture and a question, the usual one first.

    `mark` stands for a picture, in a template that has no place of its own for it.
    """
    system = {"role": "system", "content": SYSTEM}
    plain, marked = ({"role": "user", "content": text} for text in (prompt, f"{mark}\n{prompt}"))
    parts = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}
    return [parts], [system, plain], [plain], [system, marked], [marked]


def tidy(text: str, *, is_cut: bool) -> str:
    """Return what a model wrote without its thoughts; of one that was cut short without its rest and its loops."""
    whole = text.rpartition(THOUGHT)[2].strip()
    if not is_cut:
        return whole
    if whole.startswith(THINKS):
        return ""
    for loop in LOOP.finditer(whole):
        if loop["part"].startswith(re.sub(r"^\W+", "", whole[loop.end() :])):
            return whole[: loop.end("part")]
    for signs, is_kept in ((SENTENCE_ENDS, 1), (COMMAS, 0)):
        end = max(whole.rfind(sign) for sign in signs)
        if end > len(whole) // 2:
            return whole[: end + is_kept].rstrip()
    return whole


class Captioner:
    """A loaded model that writes sentences."""

    tags: TagList | None = None
    note: Problem | None = None
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
        self._begins = str(getattr(tokenizer, "bos_token", None) or "")
        self._mark = str(getattr(self._processor, "image_token", None) or "<image>")
        self._way = self._find_way() if self.style.has_chat else None

    def prepare(self, image: Image.Image, picture: Picture) -> Question:
        """Return a picture with its question."""
        caption = self._caption_of(picture) if "{tags}" in self.template else ""
        return Question(seen(image), self._asked(filled(self.template, picture, caption)))

    def _find_way(self) -> int | None:
        """Return which of the ways of `chats` the model's template knows; None where it has no template."""
        if not getattr(self._processor, "chat_template", None):
            return None
        found = [self._rendered(PROBE, way) for way in range(len(chats("", "")))]
        # A template that takes words only fails at a list of parts, or writes it out as Python does.
        return next((way for way, text in enumerate(found) if text.count(self._mark) == 1 and PROBE in text), None)

    def _rendered(self, prompt: str, way: int) -> str:
        """Return a prompt in the template of the model; empty where that does not take it so."""
        from jinja2 import TemplateError

        try:
            messages = chats(prompt, self._mark)[way]
            return str(self._processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))
        except (TemplateError, TypeError, ValueError, KeyError, AttributeError):
            return ""

    def _asked(self, prompt: str) -> str:
        """Return a prompt in the form that the model was trained with."""
        if self._way is not None:
            return self._rendered(prompt, self._way)
        return self.style.form.replace("{prompt}", prompt) if prompt else ""

    def describe(self, prepared: Sequence[Question]) -> list[Described]:
        """Return a sentence or more of each picture."""
        import torch

        texts = [question.prompt for question in prepared]
        given: dict[str, Any] = {"text": texts, "padding": True} if any(texts) else {}
        if self._begins and texts[0].startswith(self._begins):
            given["add_special_tokens"] = False  # the template has written the first of them already
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
        texts = self._processor.batch_decode(written, skip_special_tokens=True)
        return [tidy(str(text), is_cut=self._is_cut(row)) for text, row in zip(texts, written, strict=True)]

    def _is_cut(self, row: Any) -> bool:
        """Tell whether an answer was still going on at its last token, which may as well be one."""
        asked = self._model.generation_config
        ends = asked.eos_token_id if isinstance(asked.eos_token_id, list) else [asked.eos_token_id]
        return int(row[-1]) not in (*ends, asked.pad_token_id)
