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
