"""Finds a tagger of any kind, and loads it from its files."""

from __future__ import annotations

from backend.config import paths
from backend.config.problems import UserError
from taggers import background, models, tag_lists
from taggers.base import Tagger
from taggers.config import TABLE, TaggingConfig
from taggers.files import ModelFiles, Progress
from taggers.files import get as get_tagger
from taggers.onnx import OnnxTagger
from taggers.output import Output


def get(name: str, progress: Progress | None = None) -> ModelFiles:
    """Return the files of a model of any kind, downloading what is missing. Arguments and errors as `files.get`."""
    row = models.find(name)
    if row is not None and row.kind == "background":
        return background.get(row, progress)
    try:
        return get_tagger(name, progress)
    except UserError as error:
        # A file of ONNX without a list of tags may be one that makes masks.
        found = background.at(paths.resolve(name)) if error.problem.code == "tagger_incomplete" else None
        if found is None:
            raise
        return found


def load(files: ModelFiles, config: TaggingConfig) -> Tagger:
    """Load a model.

    Raises:
        UserError: It is damaged, or a package or device that it needs is not there.
    """
    if files.model.kind == "onnx":
        assert files.tags is not None, "an ONNX tagger comes with its list"
        tags = tag_lists.read(files.tags, files.model.categories)
        return OnnxTagger(files.path, tags, files.model.layout, device=config.device)
    if files.model.kind == "background":
        return background.Remover(files, config)
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
