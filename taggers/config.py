"""What a tagging run is asked to do, in the grammar of the schema: the form and the command line are made from it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from backend.config import paths, presets
from backend.config.base import Condition, Parameter, Section, Ui, walk
from backend.config.problems import ConfigError, Problem
from backend.config.root import suggest
from taggers.models import ROWS

TABLE = "tagging"
WRITES_TEXT = (Condition("tagging.output", "in", ("txt", "json")),)
MAKES_MASKS = (Condition("tagging.model", "in", tuple(row.name for row in ROWS if row.kind == "background")),)
# What is said of texts that are not in the form of their field.
FORMS = {"caption_extension": "tagging_extension", "gpu_ids": "tagging_cards"}
NOT_MCUT = (Condition("tagging.mcut", "eq", False),)


class TaggingConfig(Section):
    """Everything that a tagging run is asked to do."""

    folders: Annotated[
        list[str],
        Field(title="Folders of pictures"),
        Ui(tier="basic", widget="folder", aliases=("path", "train_data_dir", "batch_input_glob")),
    ] = []
    """All pictures in these folders are described."""

    recursive: Annotated[
        bool, Field(title="Folders in the folders, too"), Ui(tier="basic", aliases=("batch_input_recursive",))
    ] = True
    """Also describe the pictures of all folders below."""

    pictures: Annotated[list[str], Field(title="Only these pictures"), Ui(widget="textarea")] = []
    """Names of pictures as seen from their folder, such as more/cat.png. Empty: all pictures of the folders."""

    model: Annotated[
        str, Field(title="Tagger"), Ui(tier="basic", widget="model", aliases=("interrogator_model", "repo_id"))
    ] = "wd-vit-tagger-v3"
    """A name from the list, a Hugging Face id, or a folder or .onnx file on this computer. It is downloaded when it is
    not there yet."""

    general_threshold: Annotated[
        float, Field(title="Threshold", ge=0, le=1), Ui(tier="basic", widget="slider", aliases=("threshold", "thresh"))
    ] = 0.35
    """A general tag is taken from this confidence on. Lower: more tags, and more wrong ones. 1 leaves the kind out."""

    character_threshold: Annotated[
        float, Field(title="Threshold of characters", ge=0, le=1), Ui(tier="basic", widget="slider")
    ] = 0.6
    """The confidence from which names of characters are taken. 1 leaves them out."""

    copyright_threshold: Annotated[float, Field(title="Threshold of series", ge=0, le=1), Ui(widget="slider")] = 0.6
    """The confidence from which names of series and brands are taken. 1 leaves them out."""

    artist_threshold: Annotated[float, Field(title="Threshold of artists", ge=0, le=1), Ui(widget="slider")] = 1.0
    """The confidence from which names of artists are taken. 1 leaves them out."""

    meta_threshold: Annotated[float, Field(title="Threshold of meta tags", ge=0, le=1), Ui(widget="slider")] = 1.0
    """The confidence from which tags about the file, such as "highres", are taken. 1 leaves them out."""

    other_threshold: Annotated[
        float, Field(title="Threshold of other kinds", ge=0, le=1), Ui(tier="experimental", widget="slider")
    ] = 1.0
    """The confidence for kinds of tags that only some models have, such as species. 1 leaves them out."""

    mcut: Annotated[bool, Field(title="Thresholds by the widest gap (MCut)"), Ui()] = False
    """For each picture, take the tags above the widest gap between two confidences, instead of fixed thresholds."""

    best_thresholds: Annotated[
        bool, Field(title="The model's own thresholds"), Ui(when=NOT_MCUT, aliases=("use_best_threshold",))
    ] = False
    """Use the threshold that the model's makers measured for each tag, where the model comes with them."""

    rating: Annotated[
        Literal["none", "first", "last"],
        Field(title="Rating"),
        Ui(aliases=("add_rating_tag", "use_rating_tags", "use_rating_tags_as_last_tag")),
    ] = "none"
    """Whether the likeliest rating, such as "general" or "explicit", is written, and where."""

    quality: Annotated[
        Literal["none", "first", "last"],
        Field(title="Quality"),
        Ui(aliases=("use_quality_tags", "use_quality_tags_as_last_tag")),
    ] = "none"
    """Whether the likeliest quality, such as "best quality", is written, and where; of models that know it."""

    trigger_word: Annotated[str, Field(title="Trigger word"), Ui(tier="basic")] = ""
    """Written in front of each caption."""

    additional_tags: Annotated[
        list[str], Field(title="Additional tags"), Ui(tier="basic", aliases=("append_tags",))
    ] = []
    """Written to every picture, after the trigger word."""

    excluded_tags: Annotated[
        list[str], Field(title="Excluded tags"), Ui(tier="basic", aliases=("exclude_tags", "undesired_tags"))
    ] = []
    """Never written. * and ? stand for any letters: *background* leaves out all backgrounds."""

    replacements: Annotated[
        list[str], Field(title="Replacements"), Ui(widget="textarea", aliases=("tag_replacement",))
    ] = []
    """Tags that are written as others, one in each line: 1girl -> woman. Nothing after the arrow leaves the tag out."""

    character_expand: Annotated[
        bool, Field(title="Series apart from characters"), Ui(aliases=("character_tag_expand",))
    ] = False
    """Write "saber (fate)" as "saber" and "fate"."""

    order: Annotated[
        Literal["confidence", "category", "list"], Field(title="Order"), Ui(aliases=("character_tags_first",))
    ] = "confidence"
    """confidence: surest first. category: characters, series, artists, general, the rest; surest first in each. list:
    as in the model's list."""

    underscore_to_space: Annotated[
        bool, Field(title="Spaces for underscores"), Ui(aliases=("replace_underscore", "remove_underscore"))
    ] = True
    """Write "long hair" for long_hair. Faces such as ^_^ stay as they are."""

    escape_brackets: Annotated[bool, Field(title="Brackets escaped"), Ui(aliases=("escape_tag",))] = False
    r"""Write "saber \(fate\)": for programs that take brackets as emphasis."""

    confidence_weights: Annotated[bool, Field(title="Confidence as weight"), Ui(tier="experimental")] = False
    """Write each tag with its confidence: (smile:0.87), and brackets in it escaped. Only of use with weighted
    captions."""

    separator: Annotated[str, Field(title="Separator", min_length=1), Ui(aliases=("caption_separator",))] = ", "
    """What stands between two tags."""

    on_existing: Annotated[
        Literal["skip", "merge", "append", "prepend", "overwrite"],
        Field(title="Pictures with a caption"),
        Ui(tier="basic", aliases=("batch_output_action_on_conflict",)),
    ] = "skip"
    """skip: they are left alone. merge: new tags are added, without doubles. append and prepend: the new text is
    written behind or before the old one. overwrite: it takes its place. All of it can be undone."""

    output: Annotated[Literal["txt", "json", "jsonl"], Field(title="Written as"), Ui()] = "txt"
    """txt: a caption file beside each picture. json: a file beside each picture, with the confidences of its tags.
    jsonl: one file captions.jsonl in each folder with all of that, which can be chosen as a data set."""

    caption_extension: Annotated[
        str,
        Field(title="Caption file ending", pattern=r"^\.[\w.-]+$"),
        Ui(when=(Condition("tagging.output", "eq", "txt"),), aliases=("caption_extention",)),
    ] = ".txt"
    """The ending of the caption files beside the pictures."""

    prompt: Annotated[str, Field(title="Prompt of captioners"), Ui(widget="textarea")] = ""
    """What a model that writes sentences is asked; {tags} stands for the picture's caption so far, {name} for its name
    and {folder} for its folder's. Empty: the prompt that suits the model."""

    max_new_tokens: Annotated[int, Field(title="Longest sentence", ge=8, le=4096), Ui(unit="tokens")] = 256
    """A model that writes sentences ends at the latest after so many tokens: with its last whole sentence."""

    quantization: Annotated[Literal["none", "4bit"], Field(title="Weights of captioners"), Ui()] = "none"
    """4bit needs a quarter of the memory, an NVIDIA card and the package bitsandbytes."""

    mask_edge: Annotated[Literal["soft", "hard"], Field(title="Edge of masks"), Ui(when=MAKES_MASKS)] = "soft"
    """Of models that take the background away. soft: hair and blurred edges count in part. hard: black or white only,
    with small spots removed."""

    batch_size: Annotated[int, Field(title="Batch size", ge=1, le=1024), Ui(unit="pictures")] = 4
    """So many pictures are looked at together. Larger is faster on a card, as far as its memory goes."""

    num_workers: Annotated[
        int, Field(title="Preparing threads", ge=1, le=64), Ui(unit="threads", aliases=("max_data_loader_n_workers",))
    ] = 2
    """Threads that read and scale pictures while the model works."""

    device: Annotated[Literal["auto", "cpu", "cuda", "directml", "coreml"], Field(title="Device"), Ui()] = "auto"
    """auto: the best that is there."""

    gpu_ids: Annotated[str, Field(title="Cards", pattern=r"^[\d,\s]*$"), Ui()] = ""
    """Numbers of the cards that may be used, such as 1. Empty: all."""

    limit: Annotated[int, Field(title="At most", ge=0), Ui(unit="pictures")] = 0
    """Describe only the first so many pictures. 0: all."""

    dry_run: Annotated[bool, Field(title="Preview only"), Ui()] = False
    """Describe ten pictures and show what would be written, without writing anything."""

    @field_validator("caption_extension", mode="before")
    @classmethod
    def _with_dot(cls, value: Any) -> Any:
        """Take txt for .txt."""
        if not isinstance(value, str):
            return value
        plain = value.strip()
        return f".{plain}" if plain[:1].isalnum() else plain


@cache
def parameters() -> tuple[Parameter, ...]:
    """Return every parameter, with paths such as tagging.model."""
    return tuple(walk(TaggingConfig, f"{TABLE}."))


def parse(data: Mapping[str, Any]) -> TaggingConfig:
    """Validate plain data of the table.

    Raises:
        ConfigError: Values are refused; all of them are listed.
    """
    try:
        return TaggingConfig.model_validate(dict(data))
    except ValidationError as error:
        raise ConfigError([_problem(each) for each in error.errors(include_url=False)]) from error


def _problem(error: Any) -> Problem:
    name = ".".join(str(part) for part in error["loc"])
    path = f"{TABLE}.{name}"
    if error["type"] == "extra_forbidden":
        near = next((known.path for known in parameters() if name in known.ui.aliases), "")
        near = near or suggest(name, TaggingConfig.model_fields)
        code = "unknown_key_suggest" if near else "unknown_key"
        return Problem("error", code, path, {"name": name, "suggestion": near, "value": error["input"]})
    params = {"value": error["input"], **error.get("ctx", {}), "message": error["msg"]}
    code = FORMS[name] if error["type"] == "string_pattern_mismatch" else error["type"]
    return Problem("error", code, path, {key: value for key, value in params.items() if key != "error"})


def load(path: Path) -> TaggingConfig:
    """Read the configuration of a tagging run.

    Raises:
        UserError: The file is missing or not TOML.
        ConfigError: Values are refused.
    """
    return parse(presets.read(path).get(TABLE, {}))


def to_toml(config: TaggingConfig, name: str) -> str:
    """Return the file that a run is frozen with."""
    return presets.to_toml({TABLE: presets.plain(config), "output": {"name": name}})


def absolute(config: TaggingConfig) -> TaggingConfig:
    """Return a configuration that means the same from any current folder."""
    folders = [paths.location(folder) for folder in config.folders if folder.strip()]
    return config.model_copy(update={"folders": folders, "model": paths.local_or_hub(config.model)})
