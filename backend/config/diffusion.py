"""Noise and loss: what the model is asked in each step, and how its answer is judged."""

from typing import Annotated

from pydantic import Field

from backend.config.base import Condition, Section, Ui


class NoiseSection(Section):
    noise_offset: Annotated[float, Field(title="Noise offset", ge=0, le=1), Ui(aliases=("offset_noise_weight",))] = 0.0
    """Shifts the noise of each picture as a whole, so that very dark and very bright pictures can be learned. 0.05 to
    0.1 when you want that; too much gives harsh contrast."""

    multires_noise_iterations: Annotated[
        int, Field(title="Multi-resolution noise", ge=0, le=16), Ui(unit="levels", aliases=("multires_noise",))
    ] = 0
    """Adds coarser noise on so many scales; like noise offset, for deeper contrast. 6 to 10 is usual; 0: off. Use one
    of the two."""

    multires_noise_discount: Annotated[
        float,
        Field(title="Multi-resolution discount", gt=0, lt=1),
        Ui(when=(Condition("noise.multires_noise_iterations", "gt", 0),)),
    ] = 0.3
    """How much weaker each coarser level is. 0.3 for few pictures, up to 0.8 for large sets."""

    zero_terminal_snr: Annotated[
        bool,
        Field(title="Zero terminal SNR"),
        Ui(
            tier="experimental",
            aliases=("rescale_betas_zero_snr", "ztsnr"),
            when=(Condition("family.prediction_types", "contains", "v_prediction"),),
        ),
    ] = False
    """Makes the last timestep pure noise, so that true black and white can be made. For v-prediction models that were
    trained so; the model's own setting is kept when this is off."""

    min_timestep: Annotated[int, Field(title="First timestep", ge=0, le=999), Ui(tier="experimental")] = 0
    """Train only from this timestep on. Low timesteps are fine detail."""

    max_timestep: Annotated[int, Field(title="Last timestep", ge=1, le=1000), Ui(tier="experimental")] = 1000
    """Train only below this timestep. High timesteps are composition."""


class LossSection(Section):
    min_snr_gamma: Annotated[float, Field(title="Min-SNR gamma", ge=0), Ui(aliases=("snr_gamma",))] = 0.0
    """Weighs the timesteps so that easy ones do not drown the rest; training settles faster. 5 is the value of the
    paper (Hang et al. 2023); 0: off."""

    prior_loss_weight: Annotated[
        float, Field(title="Prior loss weight", ge=0), Ui(aliases=("prior_loss_weight", "reg_weight"))
    ] = 1.0
    """How much regularization pictures count beside the training pictures."""

    unmasked_weight: Annotated[
        float, Field(title="Weight outside the mask", ge=0, le=1), Ui(unit="share", aliases=("unmasked_weight",))
    ] = 0.0
    """With masks: how much of what the mask leaves out counts. 0: nothing; 0.1 keeps backgrounds from going wild."""

    normalize_masked_area: Annotated[
        bool, Field(title="Normalise by the masked area"), Ui(aliases=("normalize_masked_area_loss",))
    ] = False
    """With masks: a picture with a small mask counts as much as one with a large mask. Off: as much as its area, as in
    sd-scripts."""


class ValidationSection(Section):
    every_n_steps: Annotated[
        int,
        Field(title="Validate every n steps", ge=0),
        Ui(unit="steps", aliases=("validate_every_n_steps", "eval_every_n_steps")),
    ] = 0
    """Measures the loss on the validation pictures so often. 0: not by steps."""

    every_n_epochs: Annotated[
        int,
        Field(title="Validate every n epochs", ge=0),
        Ui(unit="epochs", aliases=("validate_every_n_epochs", "eval_every_n_epochs")),
    ] = 1
    """The same by epochs. It happens only when a data set is held back for it. 0: not by epochs."""

    num_timesteps: Annotated[int, Field(title="Timesteps per picture", ge=1, le=100), Ui(unit="timesteps")] = 4
    """Each picture is measured at so many timesteps, evenly spread, always with the same noise: so that only the model
    changes the number."""

    max_samples: Annotated[
        int, Field(title="Pictures at most", ge=0), Ui(unit="pictures", aliases=("max_validation_steps",))
    ] = 0
    """So many of the validation pictures are measured. 0: all."""
