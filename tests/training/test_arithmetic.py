"""Losses, noise and schedules against their papers and the reference implementations."""

from __future__ import annotations

import math

import pytest
import torch
from transformers.optimization import get_scheduler

from backend.config.diffusion import NoiseSection
from backend.config.training import SchedulerSection
from backend.training import losses, noise
from backend.training.loop import Every
from backend.training.schedulers import factor


@pytest.mark.parametrize("kind", ["linear", "cosine", "cosine_with_restarts", "polynomial"])
@pytest.mark.parametrize("warmup", [0, 7])
def test_schedules_are_those_of_transformers(kind: str, warmup: int) -> None:
    section = SchedulerSection(kind=kind, warmup_steps=warmup, num_cycles=3 if kind.endswith("restarts") else 1)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    specific = {"num_cycles": 3} if kind.endswith("restarts") else {"lr_end": 0.0} if kind == "polynomial" else {}
    reference = get_scheduler(
        kind, optimizer, num_warmup_steps=warmup, num_training_steps=50, scheduler_specific_kwargs=specific
    )
    for step in range(50):
        expected = optimizer.param_groups[0]["lr"]
        assert math.isclose(factor(section, step=step, total_steps=50), expected, abs_tol=1e-12)
        optimizer.step()
        reference.step()


def test_constant_rises_and_stays() -> None:
    section = SchedulerSection(kind="constant", warmup_ratio=0.2)
    assert [factor(section, step=step, total_steps=10) for step in (0, 1, 2, 9)] == [0.0, 0.5, 1.0, 1.0]


def test_min_snr_weights_are_those_of_the_paper() -> None:
    snr = torch.tensor([0.0, 1.0, 5.0, 20.0])
    epsilon = losses.min_snr_weights(snr, gamma=5.0, prediction_type="epsilon")
    velocity = losses.min_snr_weights(snr, gamma=5.0, prediction_type="v_prediction")
    assert torch.allclose(epsilon, torch.tensor([1.0, 1.0, 1.0, 0.25]))
    assert torch.allclose(velocity, torch.tensor([0.0, 0.5, 5 / 6, 5 / 21]))


def test_a_loss_is_judged_in_fp32_and_by_sample() -> None:
    prediction = torch.full((2, 4, 8, 8), 300.0, dtype=torch.float16)
    target = torch.stack([torch.zeros(4, 8, 8), torch.full((4, 8, 8), 299.0)])
    assert torch.equal(losses.sample_losses(prediction, target), torch.tensor([90000.0, 1.0]))


def test_timesteps_fill_their_range_evenly() -> None:
    section = NoiseSection(min_timestep=100, max_timestep=110)
    drawn = noise.draw_timesteps(section, count=20000, generator=torch.Generator().manual_seed(0))
    counts = torch.bincount(drawn, minlength=110)[100:]
    assert drawn.min() == 100
    assert drawn.max() == 109
    assert counts.min() > 1800


def test_noise_offset_moves_whole_channels() -> None:
    section = NoiseSection(noise_offset=0.5)
    drawn = noise.draw_noise(section, torch.Size((400, 4, 16, 16)), generator=torch.Generator().manual_seed(0))
    means = drawn.mean(dim=(2, 3))
    assert math.isclose(float(means.std()), math.sqrt(0.5**2 + 1 / 256), rel_tol=0.05)


def test_coarser_noise_keeps_the_spread_and_binds_neighbours() -> None:
    shape = torch.Size((64, 4, 16, 16))
    section = NoiseSection(multires_noise_iterations=6, multires_noise_discount=0.8)
    drawn = noise.draw_noise(section, shape, generator=torch.Generator().manual_seed(0))
    assert math.isclose(float(drawn.std()), 1.0, rel_tol=1e-3)
    assert float((drawn[..., 1:] * drawn[..., :-1]).mean()) > 0.1


def test_every_pass_has_a_seed_of_its_own() -> None:
    seeds = {
        noise.step_seed(1, step=step, process=process, micro_batch=number)
        for step in range(20)
        for process in range(3)
        for number in range(3)
    }
    assert len(seeds) == 180
    assert noise.step_seed(1, step=3, process=0, micro_batch=0) == noise.step_seed(1, step=3, process=0, micro_batch=0)


def test_a_cadence_of_zero_is_never() -> None:
    assert [count for count in range(7) if Every(3).due(count)] == [3, 6]
    assert not any(Every(0).due(count) for count in range(7))
