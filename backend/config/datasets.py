"""A data set: where its pictures come from, what part it plays, and the rules that differ from the general ones."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Optional

from pydantic import Field, create_model
from pydantic.fields import FieldInfo

from backend.config.base import Condition, Section, Ui
from backend.config.captions import CaptionRules
from backend.config.geometry import GeometryRules

TABLES = (Condition("item.source", "in", ("auto", "metadata", "table", "webdataset", "huggingface")),)
MASKED = (Condition("item.mask", "eq", "folder"),)
PAIRED = (Condition("item.conditioning", "eq", "folder"),)


class PictureRules(GeometryRules, CaptionRules):
    """What can be set for all data sets in `data`, and for each of them in its own row."""


def _own(info: FieldInfo) -> tuple[Any, FieldInfo]:
    """Return a rule as a field of a data set: empty (None) is what `data` says."""
    field = copy(info)
    field.default, field.default_factory = None, None
    field.metadata = [
        replace(item, tier="advanced", inherits=True) if isinstance(item, Ui) else item for item in info.metadata
    ]
    field.annotation = Optional[info.annotation]  # type: ignore[assignment]  # noqa: UP045
    return field.annotation, field


# Made from the rules, so that nothing about them is written twice.
_FIELDS: dict[str, Any] = {name: _own(info) for name, info in PictureRules.model_fields.items()}
OwnRules: type[Section] = create_model("OwnRules", __base__=Section, **_FIELDS)


class DatasetConfig(OwnRules):  # type: ignore[misc, valid-type]
    """One data set. Rules that it does not set are those of `data`; `rules_of` gives them filled in."""

    form_kind: ClassVar[str] = "datasets"

    path: Annotated[
        str,
        Field(title="Folder or file"),
        Ui(tier="basic", widget="folder", aliases=("train_data_dir", "image_dir", "instance_data_dir", "folder_path")),
    ] = ""
    """A folder of pictures, each with a caption file of the same name beside it; a folder whose sub-folders are named
    like 10_cat (10 repeats, and the caption of pictures that have none); a metadata file (.json, .jsonl), a table
    (.csv, .parquet), shards (.tar), a data set of Hugging Face; or an sd-scripts data set file (.toml). Any of them on
    this machine or as s3://bucket/path."""

    name: Annotated[str, Field(title="Name"), Ui()] = ""
    """How the data set is called in reports. Empty: the name of the folder or file."""

    enabled: Annotated[bool, Field(title="In use"), Ui(aliases=("disabled", "disable"))] = True
    """Off: the data set is left out, and its settings are kept."""

    source: Annotated[
        Literal["auto", "folder", "metadata", "table", "webdataset", "huggingface", "sd_scripts"],
        Field(title="Kind of source"),
        Ui(aliases=("type", "metadata_backend")),
    ] = "auto"
    """auto: told from the folder or the ending of the file. huggingface: a data set's folder or its id on the hub.
    sd_scripts: a data set file of sd-scripts, or a folder whose sub-folders are not read, as there."""

    role: Annotated[
        Literal["train", "regularization", "prior", "validation"],
        Field(title="Part it plays"),
        Ui(tier="basic", aliases=("is_reg", "is_regularisation_data", "dataset_type")),
    ] = "train"
    """train: to learn from. regularization: pictures of the same class, so that the class is not forgotten; as many of
    them are used as there are training samples. prior: the same, but the model is held to its own answer without
    the adapter. validation: never trained on, only measured."""

    num_repeats: Annotated[
        float, Field(title="Repeats", ge=0, le=100_000), Ui(tier="basic", unit="times", aliases=("repeats",))
    ] = 1.0
    """How often each picture is seen in one epoch. Use it to balance data sets of different sizes. 0.5 shows each
    picture in every second epoch. It multiplies with the number in a sub-folder's name."""

    num_samples: Annotated[
        int, Field(title="Balance to samples", ge=0), Ui(unit="samples", aliases=("balancing", "max_num_samples"))
    ] = 0
    """So many samples are drawn from this data set in each epoch, whatever its size; in turn, so that all pictures are
    seen equally often. It takes the place of repeats. 0: repeats decide."""

    weight: Annotated[
        float,
        Field(title="Weight", ge=0),
        Ui(aliases=("probability",), when=(Condition("data.mixing", "eq", "weights"),)),
    ] = 1.0
    """The data set's part of each epoch, relative to the weights of the others."""

    loss_weight: Annotated[float, Field(title="Loss weight", ge=0), Ui()] = 1.0
    """How much the pictures of this data set count: 0.5 is half."""

    start_epoch: Annotated[int, Field(title="From epoch", ge=1), Ui(unit="epochs")] = 1
    """The data set takes part from this epoch on; the first is 1."""

    end_epoch: Annotated[int, Field(title="Up to epoch", ge=0), Ui(unit="epochs")] = 0
    """The last epoch in which it takes part. 0: to the end."""

    batch_size: Annotated[int, Field(title="Batch size of its own", ge=0), Ui(unit="pictures")] = 0
    """Pictures per batch for this data set. 0: as everywhere. Data sets with other sizes share no batches."""

    class_tokens: Annotated[str, Field(title="Default caption"), Ui(aliases=("default_caption", "instance_prompt"))] = (
        ""
    )
    """The caption of pictures that have no caption of their own."""

    recursive: Annotated[bool, Field(title="With sub-folders"), Ui(aliases=("include_subfolders",))] = False
    """Take the pictures of all folders below, too."""

    exclude: Annotated[list[str], Field(title="Left out"), Ui()] = []
    """Pictures that are not trained: their names as the report shows them, or patterns such as *_bad.png."""

    image_dir: Annotated[str, Field(title="Folder of the pictures"), Ui(widget="folder", when=TABLES)] = ""
    """What the names in a metadata file or table count from. Empty: the folder that the file is in."""

    image_column: Annotated[str, Field(title="Column of the picture"), Ui(when=TABLES)] = ""
    """The column of the file name, or of the picture itself. Empty: the usual names are tried."""

    caption_columns: Annotated[list[str], Field(title="Columns of the caption"), Ui(when=TABLES)] = []
    """One column, or several of which one is drawn each time. Empty: the usual names are tried."""

    description_column: Annotated[str, Field(title="Column of the description"), Ui(when=TABLES)] = ""
    """The column of the caption in sentences, beside that of tags. Empty: the usual names are tried."""

    split: Annotated[str, Field(title="Split"), Ui(when=(Condition("item.source", "in", ("auto", "huggingface")),))] = (
        "train"
    )
    """The part of a Hugging Face data set."""

    endpoint_url: Annotated[str, Field(title="S3 server"), Ui(aliases=("aws_endpoint_url",))] = ""
    """The address of an S3 server that is not Amazon's. Keys are never kept here: they come from the
    environment (AWS_ACCESS_KEY_ID ...) or from ~/.aws."""

    mask: Annotated[
        Literal["none", "alpha", "file", "folder"],
        Field(title="Masks"),
        Ui(aliases=("alpha_mask", "masked_training", "conditioning_type")),
    ] = "none"
    """Which part of a picture counts: white does, black does not. alpha: what is not transparent. file: the picture
    beside it that ends in -masklabel.png. folder: the picture of the same name in another folder."""

    mask_dir: Annotated[
        str, Field(title="Folder of the masks"), Ui(widget="folder", when=MASKED, aliases=("mask_path",))
    ] = ""
    """Masks with the names of the pictures."""

    conditioning: Annotated[
        Literal["none", "folder", "canny", "random_mask", "low_resolution", "jpeg", "grayscale"],
        Field(title="Paired picture"),
        Ui(tier="experimental", aliases=("conditioning_data", "control_path")),
    ] = "none"
    """The picture that goes with each, for models that take one: from a folder with the same names, or made from the
    picture itself. It is read, cut alike and cached."""

    conditioning_dir: Annotated[
        str,
        Field(title="Folder of the pairs"),
        Ui(tier="experimental", widget="folder", when=PAIRED, aliases=("conditioning_data_dir", "control_path")),
    ] = ""
    """Pictures with the names of the pictures that they go with."""

    validation_split: Annotated[float, Field(title="Held back", ge=0, lt=1), Ui(unit="share")] = 0.0
    """This share of the pictures is not trained on, only measured: the same ones each time."""

    code_path: Annotated[str, Field(title="Python file"), Ui(tier="experimental", widget="file")] = ""
    """A file of your own with num_repeats, caption or description functions. It is executed: name only a file that you
    have read. It runs once you have confirmed it, and has to be confirmed again when it changes."""
