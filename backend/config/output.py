"""What comes out: samples on the way, weights, logs."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from backend.config.base import Condition, Section, Ui


class SamplePrompt(Section):
    """One picture of the sample wall."""

    form_kind: ClassVar[str] = "prompts"

    prompt: Annotated[
        str, Field(title="Prompt"), Ui(tier="basic", widget="textarea", aliases=("sample_prompts", "validation_prompt"))
    ] = ""
    """What to paint. Use the trigger word."""

    negative_prompt: Annotated[str, Field(title="Negative prompt"), Ui(aliases=("negative_prompts",))] = ""
    """What to keep out."""

    seed: Annotated[int, Field(title="Seed", ge=0, lt=2**32), Ui(aliases=("sample_seed",))] = 42
    """The same seed gives the same noise each time, so that pictures of different steps can be compared."""


class SamplingSection(Section):
    prompts: Annotated[
        list[SamplePrompt],
        Field(title="Sample prompts"),
        Ui(tier="basic", aliases=("sample_prompts", "positive_prompts")),
    ] = []
    """The pictures that are painted during training. Without a prompt none are."""

    every_n_steps: Annotated[
        int,
        Field(title="Sample every n steps", ge=0),
        Ui(unit="steps", aliases=("sample_every_n_steps", "validation_step_interval")),
    ] = 0
    """0: not by steps."""

    every_n_epochs: Annotated[
        int,
        Field(title="Sample every n epochs", ge=0),
        Ui(tier="basic", unit="epochs", aliases=("sample_every_n_epochs",)),
    ] = 1
    """0: not by epochs."""

    at_start: Annotated[bool, Field(title="Sample before training"), Ui(aliases=("sample_at_first",))] = True
    """Paint once before the first step, to see what training changes."""

    num_inference_steps: Annotated[
        int,
        Field(title="Sampling steps", ge=1, le=1000),
        Ui(unit="steps", aliases=("sample_steps", "num_inference_steps")),
    ] = 20
    """More steps are finer and slower; 20 to 30 is enough to judge."""

    guidance_scale: Annotated[
        float, Field(title="Guidance scale (CFG)", ge=1), Ui(aliases=("sample_cfg", "cfg_scale"))
    ] = 7.0
    """How closely the prompt is followed. 5 to 8 is usual; 1 turns guidance off."""

    sampler: Annotated[
        Literal["ddim", "euler", "euler_a", "dpm++_2m"], Field(title="Sampler"), Ui(aliases=("sample_sampler",))
    ] = "ddim"
    """The method of painting. Choose what you will generate with."""

    width: Annotated[int, Field(title="Sample width", ge=0, le=8192), Ui(unit="px", aliases=("sample_width",))] = 0
    """0: the training width."""

    height: Annotated[int, Field(title="Sample height", ge=0, le=8192), Ui(unit="px", aliases=("sample_height",))] = 0
    """0: the training height."""


class OutputSection(Section):
    name: Annotated[
        str, Field(title="Name", min_length=1, max_length=100), Ui(tier="basic", aliases=("output_name", "job_name"))
    ] = "my-model"
    """The name of the run and of its files. Two runs may have the same name: each has a folder of its own."""

    save_every_n_epochs: Annotated[int, Field(title="Save every n epochs", ge=0), Ui(tier="basic", unit="epochs")] = 1
    """Writes the weights so often, for you to choose the best. 0: only at the end."""

    save_every_n_steps: Annotated[
        int, Field(title="Save every n steps", ge=0), Ui(unit="steps", aliases=("save_every",))
    ] = 0
    """The same by steps. 0: not by steps."""

    keep_last_n: Annotated[
        int,
        Field(title="Keep the last n", ge=0),
        Ui(
            unit="files",
            aliases=("save_last_n_epochs", "save_last_n_steps", "max_step_saves_to_keep", "save_max_n_models"),
        ),
    ] = 0
    """Older weights of this run are deleted as new ones are written; the final ones stay. 0: keep all."""

    precision: Annotated[
        Literal["fp32", "fp16", "bf16"],
        Field(title="Precision of the files"),
        Ui(aliases=("save_precision", "output_dtype", "save_dtype")),
    ] = "fp16"
    """fp16 is what most tools expect. fp32 doubles the size and is exact."""

    full_format: Annotated[
        Literal["diffusers", "single_file", "both"],
        Field(title="Form of the whole model"),
        Ui(aliases=("save_model_as", "output_model_format"), when=(Condition("adapter.kind", "eq", "full"),)),
    ] = "single_file"
    """One .safetensors for the common interfaces, a folder for diffusers, or both."""

    checkpoint_every_n_steps: Annotated[
        int,
        Field(title="Checkpoint every n steps", ge=0),
        Ui(unit="steps", aliases=("save_state", "checkpointing_steps", "checkpoint_step_interval")),
    ] = 500
    """Writes everything needed to go on exactly from here after a crash or a power cut. One is always written when you
    stop. 0: only then."""

    keep_last_n_checkpoints: Annotated[
        int,
        Field(title="Keep the last n checkpoints", ge=1),
        Ui(unit="checkpoints", aliases=("checkpoints_total_limit", "save_last_n_epochs_state")),
    ] = 2
    """Older checkpoints are deleted once a new one is complete."""

    author: Annotated[str, Field(title="Author"), Ui(aliases=("metadata_author",))] = ""
    """Written into the file for those who use it."""

    description: Annotated[
        str, Field(title="Description"), Ui(aliases=("metadata_description", "training_comment"))
    ] = ""
    """Written into the file: how to use it, the trigger word."""


class LoggingSection(Section):
    every_n_steps: Annotated[
        int, Field(title="Log every n steps", ge=1), Ui(unit="steps", aliases=("log_every", "logging_steps"))
    ] = 1
    """How often loss and learning rate are recorded, in the events of the run and for TensorBoard."""
