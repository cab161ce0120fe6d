"""Loads a tagger of any kind from its files."""

from __future__ import annotations

from backend.config.problems import UserError
from taggers import tag_lists
from taggers.base import Tagger
from taggers.config import TABLE, TaggingConfig
from taggers.files import ModelFiles
from taggers.onnx import OnnxTagger
from taggers.output import Output


def load(files: ModelFiles, config: TaggingConfig) -> Tagger:
    """Load a model.

    Raises:
        UserError: It is damaged, or a package or device that it needs is not there.
    """
    if files.model.kind == "onnx":
        assert files.tags is not None, "an ONNX tagger comes with its list"
        tags = tag_lists.read(files.tags, files.model.categories)
        return OnnxTagger(files.path, tags, files.model.layout, device=config.device)
    try:
        return _with_transformers(files, config)
    except ImportError as error:
        raise UserError("transformers_missing", f"{TABLE}.model", reason=str(error)) from error


def _with_transformers(files: ModelFiles, config: TaggingConfig) -> Tagger:
    if files.model.kind == "captioner":
        from taggers.captioners import Captioner

        return Captioner(files.path, config, files.model.prompt, Output(config, "").caption)
    from taggers.vision import Embedder, Scorer

    return Scorer(files.path, config) if files.model.kind == "scorer" else Embedder(files.path, config)
