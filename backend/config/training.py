"""How long, how fast, and on what machine."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from backend.config.base import Condition, Section, Ui

FULL = (Condition("adapter.kind", "eq", "full"),)


class TrainingSection(Section):
    num_epochs: Annotated[
        int,
        Field(title="Epochs", ge=1),
        Ui(tier="basic", unit="epochs", aliases=("max_train_epochs", "num_train_epochs", "epochs", "epoch")),
    ] = 10
    """How many times all pictures are gone through. For a LoRA aim at some 1000 to 3000 steps in all."""

    max_steps: Annotated[
        int, Field(title="Steps at most", ge=0), Ui(unit="steps", aliases=("max_train_steps", "steps"))
    ] = 0
    """Ends training after this many optimizer steps, whatever the number of epochs. 0: the epochs decide."""

    batch_size: Annotated[
        int,
        Field(title="Batch size", ge=1),
        Ui(tier="basic", unit="pictures", aliases=("train_batch_size", "micro_batch_size_per_gpu")),
    ] = 1
    """Pictures per step. Larger is steadier and faster per picture, and needs more memory. With twice the batch, raise
    the learning rate by about 1.4."""

    gradient_accumulation_steps: Annotated[
        int, Field(title="Accumulate gradients", ge=1), Ui(unit="batches", aliases=("gradient_accumulation",))
    ] = 1
    """Adds up the gradients of so many batches before each step: the effect of a larger batch without its memory."""

    train_denoiser: Annotated[
        bool,
        Field(title="Train the denoiser (UNet)"),
        Ui(aliases=("network_train_text_encoder_only", "train_unet", "train_nnet")),
    ] = True
    """Train the part that paints. Off only to train a text encoder alone."""

    train_text_encoder: Annotated[
        bool,
        Field(title="Train text encoder"),
        Ui(
            aliases=("network_train_unet_only", "train_text_encoder_1"),
            when=(Condition("family.num_text_encoders", "gt", 0),),
        ),
    ] = False
    """Train the part that reads the prompt, too. Helps a new word to take on a meaning in SD 1.5; easily overdone: give
    it a tenth to a half of the learning rate."""

    train_text_encoder_2: Annotated[
        bool,
        Field(title="Train second text encoder"),
        Ui(aliases=("train_text_encoder_two",), when=(Condition("family.num_text_encoders", "gt", 1),)),
    ] = False
    """Train the second, larger text encoder. Seldom worth its memory."""

    gradient_checkpointing: Annotated[
        bool, Field(title="Gradient checkpointing"), Ui(tier="basic", aliases=("activation_checkpointing",))
    ] = False
    """Computes parts of the model twice instead of keeping them: about half the memory for about a quarter more time.
    The result is the same."""

    mixed_precision: Annotated[
        Literal["no", "bf16", "fp16"], Field(title="Precision"), Ui(tier="basic", aliases=("train_dtype", "dtype"))
    ] = "no"
    """The number format of the arithmetic. bf16 for NVIDIA cards of the 30 series and later; fp16 for older ones; no
    (full 32 bit) on a CPU or for exact comparisons."""

    max_grad_norm: Annotated[
        float, Field(title="Gradient clipping", ge=0), Ui(aliases=("gradient_clipping", "clip_grad_norm"))
    ] = 1.0
    """Longer gradients are shortened to this norm, which holds off single wild steps. 0: never."""

    seed: Annotated[int, Field(title="Seed", ge=0, lt=2**32), Ui(aliases=("random_seed",))] = 1337
    """Fixes every random choice, so that the same settings on the same machine give the same result."""

    def trained(self, text_encoders: Sequence[str]) -> list[str]:
        """Return the components of a family that are trained, the denoiser first."""
        wanted = {
            "denoiser": self.train_denoiser,
            "text_encoder": self.train_text_encoder,
            "text_encoder_2": self.train_text_encoder_2,
        }
        return [name for name in ("denoiser", *text_encoders) if wanted[name]]


class OptimizerSection(Section):
    kind: Annotated[
        Literal["adamw", "adamw8bit", "lion", "prodigy", "adafactor"],
        Field(title="Optimizer"),
        Ui(tier="basic", aliases=("optimizer_type", "optimizer.type", "optimizer")),
    ] = "adamw"
    """AdamW is the safe choice. AdamW 8-bit needs a quarter of its memory (NVIDIA). Lion wants a learning rate of a
    third to a tenth. Prodigy finds the rate itself: leave it at 1. Adafactor needs the least memory."""

    learning_rate: Annotated[float, Field(title="Learning rate", gt=0), Ui(tier="basic", aliases=("lr",))] = 1e-4
    """How far each step goes. LoRA: around 1e-4; full training: around 1e-5 or less; Prodigy: 1. Too high burns the
    picture (garish, distorted), too low learns nothing."""

    denoiser_learning_rate: Annotated[
        float | None,
        Field(title="Learning rate of the denoiser", ge=0),
        Ui(aliases=("unet_lr", "learning_rate_nnet"), when=(Condition("training.train_denoiser", "eq", True),)),
    ] = None
    """A rate of its own for the UNet. Empty: the learning rate."""

    text_encoder_learning_rate: Annotated[
        float | None,
        Field(title="Learning rate of the text encoder", ge=0),
        Ui(
            aliases=("text_encoder_lr", "learning_rate_te", "learning_rate_te1", "text_encoder_1_lr"),
            when=(Condition("training.train_text_encoder", "eq", True),),
        ),
    ] = None
    """A rate of its own for the text encoder. Empty: the learning rate. A tenth to a half of it is usual."""

    text_encoder_2_learning_rate: Annotated[
        float | None,
        Field(title="Learning rate of the second text encoder", ge=0),
        Ui(
            aliases=("learning_rate_te2", "text_encoder_2_lr"),
            when=(Condition("training.train_text_encoder_2", "eq", True),),
        ),
    ] = None
    """A rate of its own for the second text encoder. Empty: the learning rate."""

    weight_decay: Annotated[float, Field(title="Weight decay", ge=0), Ui(aliases=("adam_weight_decay",))] = 0.01
    """Pulls weights towards zero a little in each step, against overfitting."""

    beta1: Annotated[
        float,
        Field(title="Beta 1", ge=0, lt=1),
        Ui(aliases=("adam_beta1", "betas"), when=(Condition("optimizer.kind", "ne", "adafactor"),)),
    ] = 0.9
    """How long the direction of past steps is remembered."""

    beta2: Annotated[
        float,
        Field(title="Beta 2", ge=0, lt=1),
        Ui(aliases=("adam_beta2", "betas"), when=(Condition("optimizer.kind", "ne", "adafactor"),)),
    ] = 0.999
    """How long the size of past gradients is remembered. 0.99 is usual for Lion and Prodigy."""

    epsilon: Annotated[
        float,
        Field(title="Epsilon", gt=0),
        Ui(
            aliases=("eps", "adam_epsilon"),
            when=(Condition("optimizer.kind", "in", ("adamw", "adamw8bit", "prodigy")),),
        ),
    ] = 1e-8
    """Keeps divisions by tiny numbers in bounds."""

    d_coef: Annotated[
        float,
        Field(title="Prodigy strength", gt=0),
        Ui(aliases=("prodigy_d_coef",), when=(Condition("optimizer.kind", "eq", "prodigy"),)),
    ] = 1.0
    """Multiplies the rate that Prodigy finds. 0.5 to 2 is the useful range."""


class SchedulerSection(Section):
    kind: Annotated[
        Literal["constant", "linear", "cosine", "cosine_with_restarts", "polynomial"],
        Field(title="Learning-rate schedule"),
        Ui(tier="basic", aliases=("lr_scheduler", "learning_rate_scheduler")),
    ] = "cosine"
    """How the learning rate falls during training. Cosine starts at full rate and ends at zero; constant never
    falls."""

    warmup_steps: Annotated[
        int, Field(title="Warm-up", ge=0), Ui(unit="steps", aliases=("lr_warmup_steps", "learning_rate_warmup_steps"))
    ] = 0
    """The learning rate rises from zero over this many steps. Use it when the first steps go wild."""

    warmup_ratio: Annotated[
        float, Field(title="Warm-up share", ge=0, lt=1), Ui(unit="share", aliases=("lr_warmup",))
    ] = 0.0
    """The same as a share of all steps: 0.05 is the first twentieth. Use one of the two."""

    num_cycles: Annotated[
        int,
        Field(title="Restarts", ge=1),
        Ui(
            unit="cycles",
            aliases=("lr_scheduler_num_cycles", "lr_num_cycles", "lr_restart_cycles"),
            when=(Condition("scheduler.kind", "eq", "cosine_with_restarts"),),
        ),
    ] = 1
    """How often the cosine falls to zero and starts again."""

    power: Annotated[
        float,
        Field(title="Power", gt=0),
        Ui(aliases=("lr_scheduler_power", "lr_power"), when=(Condition("scheduler.kind", "eq", "polynomial"),)),
    ] = 1.0
    """The exponent of the polynomial: 1 is a straight line, 2 falls fast at first."""


class HardwareSection(Section):
    device: Annotated[Literal["auto", "cuda", "mps", "cpu"], Field(title="Device"), Ui()] = "auto"
    """Where to compute. Auto takes the graphics card if there is one that can be used."""

    num_processes: Annotated[
        int, Field(title="Processes", ge=1, le=64), Ui(unit="processes", aliases=("num_gpus", "train_num_gpus"))
    ] = 1
    """One per graphics card. The batch size counts for each of them."""

    gpu_ids: Annotated[
        str, Field(title="Graphics cards", pattern=r"^(\d+(,\d+)*)?$"), Ui(aliases=("CUDA_VISIBLE_DEVICES",))
    ] = ""
    """The numbers of the cards to use, such as 0 or 0,1. Empty: as many as there are processes, from the first."""
