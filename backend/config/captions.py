"""How captions are read and varied; every field here can differ from data set to data set."""

from typing import Annotated, Literal

from pydantic import Field

from backend.config.base import Condition, Section, Ui

TAGS_DROPPED = (Condition("data.tag_dropout_rate", "gt", 0),)


class CaptionRules(Section):
    caption_source: Annotated[
        Literal["file", "filename", "fixed"],
        Field(title="Captions from"),
        Ui(aliases=("caption_strategy", "prompt_source")),
    ] = "file"
    """file: a text file beside each picture, or the caption in a table or metadata file. filename: the picture's name
    is its caption. fixed: all pictures have the default caption of their data set."""

    caption_extension: Annotated[
        str, Field(title="Caption file ending", pattern=r"^\.[\w.-]+$"), Ui(aliases=("caption_ext",))
    ] = ".txt"
    """The ending of the caption files beside the pictures."""

    caption_lines: Annotated[
        Literal["join", "first", "random"],
        Field(title="Captions of several lines"),
        Ui(aliases=("multiline_captions",)),
    ] = "join"
    """join: all lines are one caption. first: only the first line counts, as in sd-scripts. random: each line is a
    caption of its own, and one is drawn each time."""

    trigger_word: Annotated[str, Field(title="Trigger word"), Ui(tier="basic", aliases=("instance_token",))] = ""
    """A word put in front of every caption, by which you call up what was learned. Choose one that means nothing to the
    model yet, such as zkz."""

    caption_prefix: Annotated[str, Field(title="Before every caption"), Ui()] = ""
    """Text put in front of every caption, with a space between."""

    caption_suffix: Annotated[str, Field(title="After every caption"), Ui()] = ""
    """Text put behind every caption, with a space between."""

    caption_dropout_rate: Annotated[
        float,
        Field(title="Caption dropout", ge=0, le=1),
        Ui(aliases=("caption_dropout_probability", "uncond_fraction"), unit="share"),
    ] = 0.0
    """The share of steps in which the caption is left out. 0.05 to 0.1 keeps the model good at free guidance and ties
    a style to no words; 0 for characters."""

    caption_dropout_every_n_epochs: Annotated[
        int, Field(title="Drop captions every n epochs", ge=0), Ui(unit="epochs")
    ] = 0
    """In each nth epoch all captions are left out. 0: never."""

    description_rate: Annotated[
        float, Field(title="Sentences instead of tags", ge=0, le=1), Ui(unit="share", aliases=("nl_caption_rate",))
    ] = 0.5
    """For pictures with both tags and a description in sentences: the share of times that the description is shown."""

    enable_wildcard: Annotated[bool, Field(title="Wildcards"), Ui(aliases=("enable_wildcard",))] = False
    """{red|blue} in a caption is one of the two, drawn each time; {{ and }} stand for braces. Of captions with several
    lines one line is drawn."""

    shuffle_caption: Annotated[
        bool,
        Field(title="Shuffle tags"),
        Ui(tier="basic", aliases=("shuffle_tags", "caption_shuffle", "shuffle_tokens")),
    ] = False
    """Mixes the order of comma-separated tags each time, so that no tag matters by its place. Not for captions in
    sentences."""

    keep_tokens: Annotated[int, Field(title="Keep first tags", ge=0), Ui(unit="tags", aliases=("keep_tags_count",))] = 0
    """How many tags at the front always stay, in their place. The trigger word counts as one."""

    keep_tokens_separator: Annotated[str, Field(title="Mark of kept tags"), Ui(aliases=("keep_tokens_separator",))] = ""
    """A mark such as ||| in a caption: what stands before it always stays in front; what stands behind a second one
    always stays at the end."""

    caption_separator: Annotated[str, Field(title="Tag separator", min_length=1), Ui()] = ","
    """What stands between tags."""

    secondary_separator: Annotated[str, Field(title="Second separator"), Ui()] = ""
    """A mark such as ;;; between tags that stay together when tags are shuffled or dropped. It becomes the tag
    separator in the end."""

    token_warmup_min: Annotated[int, Field(title="Tags at first", ge=1), Ui(unit="tags")] = 1
    """With tag warm-up: how many tags are shown at the beginning."""

    token_warmup_steps: Annotated[
        float, Field(title="Tag warm-up", ge=0), Ui(unit="steps", aliases=("token_warmup_step",))
    ] = 0.0
    """Over so many steps the number of tags that are shown grows to all of them. Below 1 it is a share of all steps.
    0: all are shown from the beginning."""

    tag_dropout_rate: Annotated[
        float,
        Field(title="Tag dropout", ge=0, le=1),
        Ui(unit="share", aliases=("caption_tag_dropout_rate", "token_dropout_rate")),
    ] = 0.0
    """The chance of each tag to be left out, each time. Kept tags stay."""

    tag_dropout_protected: Annotated[list[str], Field(title="Tags never dropped"), Ui(when=TAGS_DROPPED)] = []
    """These tags always stay. * and ? stand for any letters."""

    tag_dropout_only: Annotated[list[str], Field(title="Only these tags dropped"), Ui(when=TAGS_DROPPED)] = []
    """When given, no other tags are dropped. * and ? stand for any letters."""

    tag_dropout_weights: Annotated[list[str], Field(title="Dropout by tag"), Ui(when=TAGS_DROPPED)] = []
    """A chance of its own for some tags, such as smile=0.5. * and ? stand for any letters."""

    caption_variants: Annotated[
        int,
        Field(title="Variants of a caption", ge=0, le=1000),
        Ui(unit="variants", aliases=("cache_shuffle_num",)),
    ] = 0
    """0: a caption is varied anew each time. Otherwise each picture has so many variants, which take turns by chance:
    then even captions that vary can be cached."""
