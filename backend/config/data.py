"""The pictures: the data sets, how they are mixed, and where what is computed from them is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field

from backend.config.base import Section, Ui
from backend.config.datasets import DatasetConfig, PictureRules


class DataSection(PictureRules):
    datasets: Annotated[
        list[DatasetConfig],
        Field(title="Data sets"),
        Ui(tier="basic", aliases=("train_data_dir", "concepts")),
    ] = []
    """The pictures to learn from. Nothing in them is ever changed."""

    mixing: Annotated[
        Literal["size", "weights", "equal"],
        Field(title="Mix data sets by"),
        Ui(aliases=("data_backend_sampling",)),
    ] = "size"
    """size: each picture as often as its repeats say. weights: an epoch is as long as by size, but shared out by the
    weights of the data sets. equal: shared out equally."""

    small_buckets: Annotated[Literal["repeat", "short", "drop"], Field(title="Batches that are not full"), Ui()] = (
        "repeat"
    )
    """The last batch of a bucket is seldom full. repeat: filled with pictures of the same bucket. short: trained as it
    is, as in sd-scripts. drop: left out, which loses pictures in each epoch; the report names them."""

    weighted_captions: Annotated[bool, Field(title="Weights in captions"), Ui(aliases=("weighted_captions",))] = False
    """(word:1.3) counts more, [word] less, as in the common interfaces. Brackets that are meant as such are written
    \\( and \\)."""

    strict: Annotated[bool, Field(title="Stop on bad pictures"), Ui()] = False
    """Refuse to train when a picture cannot be read, instead of listing it and going on without."""

    num_workers: Annotated[
        int,
        Field(title="Loader threads", ge=0, le=64),
        Ui(unit="threads", aliases=("max_data_loader_n_workers", "dataloader_num_workers")),
    ] = 0
    """How many threads prepare pictures ahead when latents are not cached. With cached latents one is enough; 0 is
    one."""

    def rules_of(self, dataset: DatasetConfig) -> PictureRules:
        """Return the rules of a data set: its own where it has them, else the general ones."""
        own = {name: getattr(dataset, name) for name in PictureRules.model_fields}
        return PictureRules.model_construct(
            **{name: getattr(self, name) if value is None else value for name, value in own.items()}
        )


class CacheSection(Section):
    latents: Annotated[
        Literal["disk", "memory", "off"],
        Field(title="Cache latents"),
        Ui(tier="basic", aliases=("cache_latents", "cache_latents_to_disk", "latent_caching")),
    ] = "disk"
    """Passes each picture through the VAE once and keeps the result. Much faster, and the VAE leaves the memory.
    disk: for later runs, too; changed pictures and settings are noticed and cached again by themselves. memory: only
    for this run. off: each picture is read and encoded anew each time."""

    text_embeddings: Annotated[
        Literal["disk", "memory", "off"],
        Field(title="Cache text embeddings"),
        Ui(aliases=("cache_text_encoder_outputs", "cache_text_embeddings", "text_cache")),
    ] = "off"
    """Passes each caption through the text encoder once; the text encoder leaves the memory. Only when the text encoder
    is not trained, and captions do not vary or have a number of variants."""

    compress: Annotated[bool, Field(title="Compress caches"), Ui(aliases=("compress_cache",))] = False
    """Makes the files a little smaller and reading a little slower."""

    dir: Annotated[str, Field(title="Cache folder"), Ui(widget="folder", aliases=("cache_dir", "cache_directory"))] = ""
    """Where the caches are kept. Empty: a folder of the program's own, shared by all runs. It can be deleted at any
    time; it is only made again."""


def migrate_data_1(data: dict[str, Any]) -> dict[str, Any]:
    """Bring `data` and `cache` of version 1 to version 2: crops and caches became choices."""
    changes: tuple[tuple[str, str, str, Callable[[Any], Any]], ...] = (
        ("data", "random_crop", "crop", lambda on: "random" if on else "center"),
        ("cache", "latents", "latents", lambda on: "disk" if on else "off"),
        ("cache", "text_embeddings", "text_embeddings", lambda on: "disk" if on else "off"),
    )
    migrated = dict(data)
    for section, old, new, convert in changes:
        table = migrated.get(section)
        if isinstance(table, dict) and isinstance(table.get(old), bool):
            rest = {key: value for key, value in table.items() if key != old}
            migrated[section] = {**rest, new: convert(table[old])}
    return migrated
