"""The pictures: where they are, how they are captioned, cut and shown."""

from typing import Annotated, ClassVar

from pydantic import Field

from backend.config.base import Condition, Section, Ui

WITH_BUCKETS = (Condition("data.enable_bucket", "eq", True),)
SHUFFLED = (Condition("data.shuffle_caption", "eq", True),)


class DatasetConfig(Section):
    """One folder of pictures."""

    form_kind: ClassVar[str] = "datasets"

    path: Annotated[
        str,
        Field(title="Folder"),
        Ui(tier="basic", widget="folder", aliases=("train_data_dir", "image_dir", "instance_data_dir", "folder_path")),
    ] = ""
    """A folder of pictures, each with a caption file of the same name beside it; or a folder whose sub-folders are
    named like 10_cat, where 10 is the number of repeats and the words are the caption of pictures that have none."""

    num_repeats: Annotated[int, Field(title="Repeats", ge=1), Ui(tier="basic", unit="times", aliases=("repeats",))] = 1
    """How often each picture is seen in one epoch. Use it to balance folders of different sizes. It multiplies with the
    number in a sub-folder's name."""

    class_tokens: Annotated[str, Field(title="Default caption"), Ui(aliases=("default_caption", "instance_prompt"))] = (
        ""
    )
    """The caption of pictures that have no caption file."""


class DataSection(Section):
    datasets: Annotated[
        list[DatasetConfig],
        Field(title="Folders of pictures"),
        Ui(tier="basic", aliases=("train_data_dir", "concepts")),
    ] = []
    """The folders to learn from. Nothing in them is ever changed."""

    width: Annotated[
        int, Field(title="Width", ge=16, le=8192), Ui(tier="basic", unit="px", aliases=("resolution", "max_resolution"))
    ] = 512
    """With height: the area that pictures are scaled to. 512 x 512 for SD 1.5, 768 x 768 for SD 2, 1024 x 1024 for
    SDXL. Larger shows finer detail, needs more memory and time, and does badly above what the model was made for."""

    height: Annotated[
        int,
        Field(title="Height", ge=16, le=8192),
        Ui(tier="basic", unit="px", aliases=("resolution", "max_resolution")),
    ] = 512
    """With width: the area that pictures are scaled to."""

    enable_bucket: Annotated[
        bool, Field(title="Aspect-ratio buckets"), Ui(aliases=("enable_ar_bucket", "arb", "aspect_ratio_bucketing"))
    ] = True
    """Sorts pictures by shape and trains each shape at its own size of equal area, so that little is cropped. Off:
    every picture is cropped to width x height."""

    min_bucket_resolution: Annotated[
        int,
        Field(title="Shortest side", ge=16, le=8192),
        Ui(unit="px", aliases=("min_bucket_reso",), when=WITH_BUCKETS),
    ] = 256
    """No bucket has a side shorter than this."""

    max_bucket_resolution: Annotated[
        int, Field(title="Longest side", ge=16, le=8192), Ui(unit="px", aliases=("max_bucket_reso",), when=WITH_BUCKETS)
    ] = 1024
    """No bucket has a side longer than this. 2048 is usual for SDXL."""

    bucket_step: Annotated[
        int,
        Field(title="Bucket step", ge=1, le=512),
        Ui(unit="px", aliases=("bucket_reso_steps", "bucket_reso_step", "aspect_bucket_alignment"), when=WITH_BUCKETS),
    ] = 64
    """Bucket sides are multiples of this. Smaller steps crop less and make more buckets with fewer pictures in each."""

    bucket_no_upscale: Annotated[bool, Field(title="Never enlarge pictures"), Ui(when=WITH_BUCKETS)] = False
    """Pictures smaller than the training area keep their size instead of being enlarged, which would teach blur."""

    caption_extension: Annotated[
        str, Field(title="Caption file ending", pattern=r"^\.[\w.-]+$"), Ui(aliases=("caption_ext",))
    ] = ".txt"
    """The ending of the caption files beside the pictures."""

    trigger_word: Annotated[str, Field(title="Trigger word"), Ui(tier="basic", aliases=("instance_token",))] = ""
    """A word put in front of every caption, by which you call up what was learned. Choose one that means nothing to the
    model yet, such as zkz."""

    shuffle_caption: Annotated[
        bool,
        Field(title="Shuffle tags"),
        Ui(tier="basic", aliases=("shuffle_tags", "caption_shuffle", "shuffle_tokens")),
    ] = False
    """Mixes the order of comma-separated tags each time, so that no tag matters by its place. Not for captions in
    sentences."""

    keep_tokens: Annotated[
        int, Field(title="Keep first tags", ge=0), Ui(unit="tags", aliases=("keep_tags_count",), when=SHUFFLED)
    ] = 0
    """How many tags at the front stay in place when the rest is shuffled. The trigger word counts as one."""

    caption_separator: Annotated[str, Field(title="Tag separator", min_length=1), Ui(when=SHUFFLED)] = ","
    """What stands between tags."""

    caption_dropout_rate: Annotated[
        float,
        Field(title="Caption dropout", ge=0, le=1),
        Ui(aliases=("caption_dropout_probability", "uncond_fraction"), unit="share"),
    ] = 0.0
    """The share of steps in which the caption is left out. 0.05 to 0.1 keeps the model good at free guidance and ties
    a style to no words; 0 for characters."""

    flip_augmentation: Annotated[bool, Field(title="Mirror at random"), Ui(aliases=("flip_aug", "flip_x"))] = False
    """Shows each picture mirrored half of the time. Doubles the variety; wrong for anything with text or a parting on
    one side."""

    color_augmentation: Annotated[bool, Field(title="Vary colours at random"), Ui(aliases=("color_aug",))] = False
    """Changes hue, brightness and saturation a little each time. Cannot be used with cached latents."""

    random_crop: Annotated[bool, Field(title="Crop at random"), Ui(aliases=("crop_jitter",))] = False
    """Cuts at a random place instead of the centre. Cannot be used with cached latents."""

    strict: Annotated[bool, Field(title="Stop on bad pictures"), Ui()] = False
    """Refuse to train when a picture cannot be read, instead of listing it and going on without."""

    num_workers: Annotated[
        int,
        Field(title="Loader threads", ge=0, le=64),
        Ui(unit="threads", aliases=("max_data_loader_n_workers", "dataloader_num_workers")),
    ] = 0
    """How many threads prepare pictures ahead when latents are not cached. With cached latents one is enough; 0 is
    one."""


class CacheSection(Section):
    latents: Annotated[
        bool,
        Field(title="Cache latents on disk"),
        Ui(tier="basic", aliases=("cache_latents", "cache_latents_to_disk", "latent_caching")),
    ] = True
    """Passes each picture through the VAE once and keeps the result. Much faster, and the VAE leaves the memory.
    Changed pictures and settings are noticed and cached again by themselves."""

    text_embeddings: Annotated[
        bool,
        Field(title="Cache text embeddings on disk"),
        Ui(aliases=("cache_text_encoder_outputs", "cache_text_embeddings", "text_cache")),
    ] = False
    """Passes each caption through the text encoder once; the text encoder leaves the memory. Only when the text encoder
    is not trained and captions do not change from step to step."""

    dir: Annotated[str, Field(title="Cache folder"), Ui(widget="folder", aliases=("cache_dir", "cache_directory"))] = ""
    """Where the caches are kept. Empty: a folder of the program's own, shared by all runs. It can be deleted at any
    time; it is only made again."""
