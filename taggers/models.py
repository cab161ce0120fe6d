"""The models that are offered by name. Torch-free: the GUI reads this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["onnx", "captioner", "scorer", "embedding", "background"]
Layout = Literal["wd", "cl"]
Category = Literal["general", "character", "copyright", "artist", "meta", "rating", "quality", "model", "other"]

# The numbers that Danbooru and the lists made from it give to kinds of tags; 9 is the taggers' own.
DANBOORU: Mapping[int, Category] = {0: "general", 1: "artist", 3: "copyright", 4: "character", 5: "meta", 9: "rating"}
E621: Mapping[int, Category] = {**DANBOORU, 5: "other", 7: "meta", 8: "other"}
# Who gives out the models that take backgrounds away: on GitHub, not on the hub.
REMBG = "danielgatis/rembg"
JOYCAPTION = "fancyfeast/llama-joycaption-beta-one-hf-llava"
# One of those that it was trained with; so long fits into the usual number of tokens.
JOYCAPTION_PROMPT = "Write a detailed description for this image in 150 words or less."
# The commit that has its weights as safetensors: "main" has them pickled.
CAFE_SAFETENSORS = "3bca27c5c0b6021056b1e84e5a18cf1db9fe5d4c"
WD_FILES = ("model.onnx", "selected_tags.csv")


@dataclass(frozen=True, slots=True)
class TaggerModel:
    """One row: how a model is called, where it is had, and how it is spoken to.

    `files` are the ones that are needed, by their paths in the repository; none: the whole repository.
    `prompt` is what a captioner is asked when nothing else is.
    """

    name: str
    title: str
    repo: str
    kind: Kind = "onnx"
    layout: Layout = "wd"
    revision: str = "main"
    files: tuple[str, ...] = WD_FILES
    categories: Mapping[int, Category] = field(default_factory=lambda: DANBOORU)
    prompt: str = ""
    megabytes: int = 0


def _wd(name: str, title: str, megabytes: int, revision: str = "main") -> TaggerModel:
    return TaggerModel(name, title, f"SmilingWolf/{name}", revision=revision, megabytes=megabytes)


def _cl(version: str, title: str) -> TaggerModel:
    files = (f"{version}/model.onnx", f"{version}/tag_mapping.json")
    return TaggerModel(version, title, "cella110n/cl_tagger", layout="cl", files=files, megabytes=1400)


def _of(kind: Kind, name: str, title: str, repo: str, megabytes: int, revision: str = "main") -> TaggerModel:
    prompt = JOYCAPTION_PROMPT if repo == JOYCAPTION else ""
    return TaggerModel(name, title, repo, kind=kind, files=(), revision=revision, prompt=prompt, megabytes=megabytes)


def _background(name: str, title: str, megabytes: int) -> TaggerModel:
    """Return a model that rembg knows by this name, and keeps in one file of it."""
    return TaggerModel(name, title, REMBG, kind="background", files=(f"{name}.onnx",), megabytes=megabytes)


ROWS = (
    _wd("wd-vit-tagger-v3", "WD ViT v3", 379),
    _wd("wd-swinv2-tagger-v3", "WD SwinV2 v3", 467),
    _wd("wd-convnext-tagger-v3", "WD ConvNeXt v3", 395),
    _wd("wd-vit-large-tagger-v3", "WD ViT Large v3", 1260),
    _wd("wd-eva02-large-tagger-v3", "WD EVA02 Large v3", 1260),
    _wd("wd-v1-4-vit-tagger-v2", "WD ViT v2", 373, "v2.0"),
    _wd("wd-v1-4-swinv2-tagger-v2", "WD SwinV2 v2", 466, "v2.0"),
    _wd("wd-v1-4-convnext-tagger-v2", "WD ConvNeXt v2", 387, "v2.0"),
    _wd("wd-v1-4-convnextv2-tagger-v2", "WD ConvNeXtV2 v2", 388, "v2.0"),
    _wd("wd-v1-4-moat-tagger-v2", "WD MOAT v2", 326, "v2.0"),
    _cl("cl_tagger_1_02", "CL Tagger 1.02"),
    _cl("cl_tagger_1_01", "CL Tagger 1.01"),
    _of("captioner", "florence-2-base", "Florence-2 base", "florence-community/Florence-2-base", 470),
    _of("captioner", "florence-2-large", "Florence-2 large", "florence-community/Florence-2-large", 1560),
    _of("captioner", "blip2-opt-2.7b", "BLIP-2", "Salesforce/blip2-opt-2.7b", 15000),
    _of("captioner", "qwen2.5-vl-3b", "Qwen2.5-VL 3B", "Qwen/Qwen2.5-VL-3B-Instruct", 7500),
    _of("captioner", "qwen2.5-vl-7b", "Qwen2.5-VL 7B", "Qwen/Qwen2.5-VL-7B-Instruct", 16600),
    _of("captioner", "qwen3-vl-4b", "Qwen3-VL 4B", "Qwen/Qwen3-VL-4B-Instruct", 8900),
    _of("captioner", "joycaption", "JoyCaption Beta One", JOYCAPTION, 17000),
    _of("captioner", "llava-1.5-7b", "LLaVA 1.5 7B", "llava-hf/llava-1.5-7b-hf", 14100),
    _of("scorer", "cafe-aesthetic", "Cafe Aesthetic", "cafeai/cafe_aesthetic", 376, CAFE_SAFETENSORS),
    _of("embedding", "siglip-base", "SigLIP base", "google/siglip-base-patch16-224", 813),
    _of("embedding", "clip-vit-large", "CLIP ViT-L/14", "openai/clip-vit-large-patch14", 1710),
    _background("isnet-general-use", "IS-Net · mask", 179),
    _background("isnet-anime", "IS-Net anime · mask", 176),
    _background("u2net", "U2-Net · mask", 176),
    _background("u2netp", "U2-Net small · mask", 5),
    _background("u2net_human_seg", "U2-Net people · mask", 176),
    _background("silueta", "Silueta · mask", 44),
    _background("birefnet-general", "BiRefNet · mask", 973),
    _background("birefnet-general-lite", "BiRefNet lite · mask", 224),
    _background("birefnet-portrait", "BiRefNet portrait · mask", 973),
)
MODELS: Mapping[str, TaggerModel] = {row.name: row for row in ROWS}
DEFAULT = ROWS[0].name


def find(name: str) -> TaggerModel | None:
    """Return the row of a name or a hub id; None for models that are not in the list."""
    plain = name.strip()
    by_repo = [row for row in ROWS if row.repo == plain]
    return MODELS.get(plain) or (by_repo[0] if len(by_repo) == 1 else None)
