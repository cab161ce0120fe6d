"""Data set files of sd-scripts: each subset becomes a data set, with what the tables above it say."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from backend.config.datasets import DatasetConfig
from backend.config.paths import is_address, location
from backend.config.problems import Problem, UserError
from backend.data.filesystems import FileSystem, LocalFiles
from backend.data.remote import RemoteFiles

# Their name: ours. What is not said in the file is as everywhere in the configuration.
OF_DATASETS = {
    "batch_size": "batch_size",
    "enable_bucket": "enable_bucket",
    "min_bucket_reso": "min_bucket_resolution",
    "max_bucket_reso": "max_bucket_resolution",
    "bucket_reso_steps": "bucket_step",
    "bucket_no_upscale": "bucket_no_upscale",
    "validation_split": "validation_split",
}
OF_SUBSETS = {
    "num_repeats": "num_repeats",
    "shuffle_caption": "shuffle_caption",
    "caption_separator": "caption_separator",
    "keep_tokens": "keep_tokens",
    "keep_tokens_separator": "keep_tokens_separator",
    "secondary_separator": "secondary_separator",
    "enable_wildcard": "enable_wildcard",
    "caption_prefix": "caption_prefix",
    "caption_suffix": "caption_suffix",
    "color_aug": "color_augmentation",
    "flip_aug": "flip_augmentation",
    "token_warmup_min": "token_warmup_min",
    "token_warmup_step": "token_warmup_steps",
    "caption_dropout_rate": "caption_dropout_rate",
    "caption_dropout_every_n_epochs": "caption_dropout_every_n_epochs",
    "caption_tag_dropout_rate": "tag_dropout_rate",
    "caption_extension": "caption_extension",
    "class_tokens": "class_tokens",
}
# Keys without a counterpart, and the value of each at which they do nothing.
NEUTRAL: dict[str, Any] = {
    "network_multiplier": 1,
    "validation_seed": None,
    "resize_interpolation": None,
    "face_crop_aug_range": None,
    "custom_attributes": {},
    "cache_info": None,
}
# It only makes sd-scripts start faster, as our index does.
NEEDLESS = frozenset({"cache_info"})
IN_DATASETS = frozenset({*OF_DATASETS, "resolution", "network_multiplier", "validation_seed", "resize_interpolation"})
IN_BOTH = frozenset(
    {*OF_SUBSETS, "random_crop", "face_crop_aug_range", "custom_attributes", "cache_info", "resize_interpolation"}
)
ONLY_IN_SUBSETS = frozenset({"image_dir", "metadata_file", "conditioning_data_dir", "is_reg", "alpha_mask"})
Table = Mapping[str, Any]


def is_dataset_file(config: DatasetConfig) -> bool:
    """Tell whether a data set names a file of sd-scripts; a folder of that kind is one subset, written out."""
    path = config.path.strip().lower()
    if config.source not in ("auto", "sd_scripts") or path.endswith(".toml"):
        return config.source in ("auto", "sd_scripts")
    return config.source == "sd_scripts" and not (is_address(path) or Path(location(config.path)).is_dir())


def expand(config: DatasetConfig, field: str) -> tuple[list[DatasetConfig], list[Problem]]:
    """Return the data sets of a file, in its order, and what in it is wrong or has no counterpart.

    Raises:
        UserError: The file cannot be read, or holds no subsets.
    """
    path = location(config.path)
    content = _content(path, config)
    problems = list(_unknown(content, path, f"{field}.path"))
    found: list[DatasetConfig] = []
    for values in _subsets(content):
        try:
            found.append(_dataset(config, values, path))
        except UserError as error:
            problems.append(Problem("error", error.problem.code, f"{field}.path", error.problem.params))
    if not found and not problems:
        raise UserError("sd_no_subsets", value=path)
    return found, problems


def _content(path: str, config: DatasetConfig) -> Table:
    files: FileSystem = LocalFiles()
    if is_address(path):
        files = RemoteFiles(path.partition("://")[0].lower(), config.endpoint_url)
    data = files.read(path)
    try:
        text = data.decode("utf-8-sig")
        content = json.loads(text) if path.lower().endswith(".json") else tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise UserError("not_utf8", value=path) from error
    except ValueError as error:
        raise UserError("toml_invalid", file=path, reason=str(error)) from error
    return content if isinstance(content, dict) else {}


def _tables(value: Any) -> list[Table]:
    """Return the tables of a list of tables, whatever somebody wrote there."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _general(content: Table) -> Table:
    general = content.get("general")
    return general if isinstance(general, dict) else {}


def _subsets(content: Table) -> Iterator[dict[str, Any]]:
    """Yield what holds for each subset: its own values, else its data set's, else the general ones."""
    for dataset in _tables(content.get("datasets")):
        own = {key: value for key, value in dataset.items() if key != "subsets"}
        for subset in _tables(dataset.get("subsets")):
            yield {**_general(content), **own, **subset}


def _unknown(content: Table, path: str, field: str) -> Iterator[Problem]:
    """Yield a problem for each key that is unknown where it stands, and for each that has no counterpart."""
    datasets = _tables(content.get("datasets"))
    subsets = [subset for dataset in datasets for subset in _tables(dataset.get("subsets"))]
    levels: tuple[tuple[str, list[Table], frozenset[str]], ...] = (
        ("", [content], frozenset({"general", "datasets"})),
        ("[general]", [_general(content)], IN_DATASETS | IN_BOTH),
        ("[[datasets]]", datasets, IN_DATASETS | IN_BOTH | {"subsets"}),
        ("[[datasets.subsets]]", subsets, IN_BOTH | ONLY_IN_SUBSETS),
    )
    ignored: dict[str, list[str]] = {}
    for name, tables, known in levels:
        for key, value in (pair for table in tables for pair in table.items()):
            if key not in known:
                yield Problem("error", "sd_key_unknown", field, {"value": f"{name} {key}".strip(), "file": path})
            elif key in NEUTRAL and value != NEUTRAL[key] and key not in NEEDLESS:
                ignored.setdefault(key, []).append(name)
    for key, places in ignored.items():
        params = {"value": key, "file": path, "names": ", ".join(dict.fromkeys(places))}
        yield Problem("warning", "sd_key_ignored", field, params)


def _dataset(config: DatasetConfig, values: Table, path: str) -> DatasetConfig:
    """Return a subset as a data set: the row of the configuration with the file's values in it.

    Raises:
        UserError: It names no pictures, or a value is not of its kind.
    """
    named = {**OF_DATASETS, **OF_SUBSETS}
    changes = {ours: values[theirs] for theirs, ours in named.items() if theirs in values}
    changes |= _place(config, values, path) | _made_of_several(values)
    if not values.get("enable_wildcard") and config.caption_lines is None:
        changes["caption_lines"] = "first"
    try:
        return DatasetConfig.model_validate({**config.model_dump(exclude_unset=True), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        ours = str(first["loc"][0])
        name = next((theirs for theirs, own in named.items() if own == ours), ours)
        params = {"value": first["input"], "name": name, "file": path, "reason": first["msg"]}
        raise UserError("sd_value", **params) from error


def _made_of_several(values: Table) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if "resolution" in values:
        size = values["resolution"]
        changes["width"], changes["height"] = size if isinstance(size, list) and len(size) == 2 else (size, size)
    if "random_crop" in values:
        changes["crop"] = "random" if values["random_crop"] else "center"
    if values.get("is_reg"):
        changes["role"] = "regularization"
    if values.get("alpha_mask"):
        changes["mask"] = "alpha"
    return changes


def _place(config: DatasetConfig, values: Table, path: str) -> dict[str, Any]:
    """Return where a subset's pictures are."""
    images, metadata = (str(values.get(key) or "").strip() for key in ("image_dir", "metadata_file"))
    if not images and not metadata:
        raise UserError("sd_no_source", value=path)
    images = _near(images, path)
    place: dict[str, Any] = {"path": images, "source": "sd_scripts"}
    if metadata:
        place = {"path": _near(metadata, path), "source": "metadata", "image_dir": images}
    if config.name:
        place["name"] = f"{config.name}/{place['path'].replace(chr(92), '/').rstrip('/').rpartition('/')[2]}"
    if pairs := str(values.get("conditioning_data_dir") or "").strip():
        place |= {"conditioning": "folder", "conditioning_dir": _near(pairs, path)}
    return place


def _near(text: str, path: str) -> str:
    """Return a path of the file as an absolute one: from the file's folder if it is there, else as everywhere."""
    if not text or is_address(text) or is_address(path):
        return location(text)
    beside = Path(path).parent / text
    return str(beside) if beside.exists() else location(text)
