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
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2Processor,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    OPTConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
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
CAPTIONERS = ("llava", "joycaption", "blip2", "florence2", "qwen", "qwen3")
SIDE, PATCH, WIDTH = 16, 8, 16
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<image>")
CHAT = (
    "{% for message in messages %}USER: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %} ASSISTANT:{% endfor %}"
)
QWEN_CHAT = CHAT.replace("<image>", "<|vision_start|><|image_pad|><|vision_end|>")
SMALL = {"hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
VISION = {**SMALL, "image_size": SIDE, "patch_size": PATCH}


def tokenizer(chat: str = "", more: tuple[str, ...] = ()) -> PreTrainedTokenizerFast:
    """Return a tokenizer of letters."""
    letters = [chr(code) for code in range(33, 127)]
    vocabulary = {sign: place for place, sign in enumerate((*SPECIAL, *more, "Ġ", *letters))}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    named = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    fast = PreTrainedTokenizerFast(
        tokenizer_object=made, extra_special_tokens={"image_token": more[0] if more else "<image>"}, **named
    )
    fast.add_special_tokens({"additional_special_tokens": list(more)}) if more else None
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


# As JoyCaption's: a system message, words only, and the place of the picture is the template's own.
WORDS_ONLY = (
    "{% for message in messages %}{% if message['role'] == 'user' %}<image>"
    "{{ message['content'].replace('<image>', '').lstrip() }}{% else %}{{ message['content'] }} {% endif %}{% endfor %}"
)


def joycaption(folder: Path) -> Path:
    """Make a model in the layout of LLaVA that is asked as JoyCaption."""
    llava(folder)
    (folder / "chat_template.jinja").write_text(WORDS_ONLY)
    return folder


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


def qwen(folder: Path) -> Path:
    """Make a model in the layout of Qwen2.5-VL."""
    torch.manual_seed(0)
    words = tokenizer(QWEN_CHAT, ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"))
    place = words.convert_tokens_to_ids
    config = Qwen2_5_VLConfig(
        text_config={
            **SMALL,
            "num_key_value_heads": 2,
            "vocab_size": len(words),
            "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0},
        },
        vision_config={
            "depth": 1,
            "hidden_size": WIDTH,
            "intermediate_size": 32,
            "num_heads": 2,
            "out_hidden_size": WIDTH,
            "patch_size": PATCH,
            "window_size": 4 * PATCH,
            "fullatt_block_indexes": [0],
        },
        image_token_id=place("<|image_pad|>"),
        video_token_id=place("<|video_pad|>"),
        vision_start_token_id=place("<|vision_start|>"),
        vision_end_token_id=place("<|vision_end|>"),
    )
    sizes = {"shortest_edge": 4 * SIDE, "longest_edge": 64 * SIDE}
    images = Qwen2VLImageProcessor(patch_size=PATCH, size=sizes)
    return _saved(folder, Qwen2_5_VLForConditionalGeneration(config), images, words)


def qwen3(folder: Path) -> Path:
    """Make a model in the layout of Qwen3-VL."""
    torch.manual_seed(1)
    words = tokenizer(QWEN_CHAT, ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"))
    place = words.convert_tokens_to_ids
    config = Qwen3VLConfig(
        text_config={
            **SMALL,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "vocab_size": len(words),
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 10000.0},
        },
        vision_config={
            "depth": 2,
            "hidden_size": WIDTH,
            "intermediate_size": 32,
            "num_heads": 2,
            "out_hidden_size": WIDTH,
            "patch_size": PATCH,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0],
        },
        image_token_id=place("<|image_pad|>"),
        video_token_id=place("<|video_pad|>"),
        vision_start_token_id=place("<|vision_start|>"),
        vision_end_token_id=place("<|vision_end|>"),
    )
    sizes = {"shortest_edge": 4 * SIDE, "longest_edge": 64 * SIDE}
    images = Qwen2VLImageProcessor(patch_size=PATCH, size=sizes)
    return _saved(folder, Qwen3VLForConditionalGeneration(config), images, words)


def florence2(folder: Path) -> Path:
    """Make a model in the layout of Florence-2."""
    torch.manual_seed(0)
    words = tokenizer()
    config = Florence2Config(
        text_config={
            "model_type": "bart",
            "d_model": WIDTH,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 32,
            "decoder_ffn_dim": 32,
            "vocab_size": len(words),
            "max_position_embeddings": 256,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 2,
            "forced_eos_token_id": 2,
        },
        vision_config={
            "depths": [1, 1],
            "patch_size": [7, 3],
            "patch_stride": [4, 2],
            "patch_padding": [3, 1],
            "patch_prenorm": [False, True],
            "embed_dim": [8, 16],
            "num_heads": [2, 2],
            "num_groups": [2, 2],
            "window_size": 4,
            "projection_dim": WIDTH,
            "max_position_embeddings": 16,
            "max_temporal_embeddings": 16,
        },
        image_token_id=words.convert_tokens_to_ids("<image>"),
        is_encoder_decoder=True,
    )
    images = CLIPImageProcessor(size={"height": 32, "width": 32}, do_center_crop=False)
    images.image_seq_length = 17
    return _saved(folder, Florence2ForConditionalGeneration(config), Florence2Processor(images, words))
