"""Tiny models of transformers, with random weights, built offline: captioners, a scorer and embedders."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    BlipImageProcessor,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTextConfig,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    OPTConfig,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    SiglipTextConfig,
    SiglipVisionConfig,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)

# The functions of this module that make captioners.
CAPTIONERS = ("llava", "blip2")
SIDE, PATCH, WIDTH = 16, 8, 16
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<image>")
CHAT = (
    "{% for message in messages %}USER: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %} ASSISTANT:{% endfor %}"
)
SMALL = {"hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
VISION = {**SMALL, "image_size": SIDE, "patch_size": PATCH}


def tokenizer(chat: str = "") -> PreTrainedTokenizerFast:
    """Return a tokenizer of letters."""
    letters = [chr(code) for code in range(33, 127)]
    vocabulary = {sign: place for place, sign in enumerate((*SPECIAL, "Ġ", *letters))}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    named = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=made, extra_special_tokens={"image_token": "<image>"}, **named)
    if chat:
        fast.chat_template = chat
    return fast


def _saved(folder: Path, *parts: object) -> Path:
    for part in parts:
        part.save_pretrained(folder)  # type: ignore[attr-defined]
    return folder


def llava(folder: Path) -> Path:
    """Make a model in the layout of LLaVA and JoyCaption."""
    torch.manual_seed(0)
    words = tokenizer(CHAT)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**VISION),
        text_config=LlamaConfig(**SMALL, vocab_size=len(words), max_position_embeddings=512),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
    )
    images = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    processor = LlavaProcessor(
        images,
        words,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT,
    )
    return _saved(folder, LlavaForConditionalGeneration(config), processor)


def blip2(folder: Path) -> Path:
    """Make a model in the layout of BLIP-2."""
    torch.manual_seed(0)
    words = tokenizer()
    config = Blip2Config(
        vision_config=Blip2VisionConfig(**VISION).to_dict(),
        qformer_config=Blip2QFormerConfig(**SMALL, encoder_hidden_size=WIDTH, vocab_size=len(words)).to_dict(),
        text_config=OPTConfig(
            hidden_size=WIDTH,
            ffn_dim=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            vocab_size=len(words),
            word_embed_proj_dim=WIDTH,
        ).to_dict(),
        num_query_tokens=3,
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )
    processor = Blip2Processor(BlipImageProcessor(size={"height": SIDE, "width": SIDE}), words, num_query_tokens=3)
    return _saved(folder, Blip2ForConditionalGeneration(config), processor)


def scorer(folder: Path, labels: tuple[str, ...] = ("lq", "hq")) -> Path:
    """Make an image classifier that finds every picture to be of the last label."""
    torch.manual_seed(0)
    config = ViTConfig(**VISION, id2label=dict(enumerate(labels)), num_labels=len(labels))
    model = ViTForImageClassification(config)
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.arange(len(labels)).float() * 2 + (len(labels) == 1) * 5)
    return _saved(folder, model, ViTImageProcessor(size={"height": SIDE, "width": SIDE}))


def clip(folder: Path) -> Path:
    """Make a CLIP."""
    torch.manual_seed(0)
    words = tokenizer()
    config = CLIPConfig(
        text_config=CLIPTextConfig(**SMALL, vocab_size=len(words)).to_dict(),
        vision_config=CLIPVisionConfig(**VISION).to_dict(),
        projection_dim=8,
    )
    images = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    return _saved(folder, CLIPModel(config), CLIPProcessor(images, words))


def siglip(folder: Path) -> Path:
    """Make a SigLIP, with no more than its pictures' side."""
    torch.manual_seed(0)
    config = SiglipConfig(
        text_config=SiglipTextConfig(**SMALL, vocab_size=99).to_dict(),
        vision_config=SiglipVisionConfig(**VISION).to_dict(),
    )
    return _saved(folder, SiglipModel(config), SiglipImageProcessor(size={"height": SIDE, "width": SIDE}))
