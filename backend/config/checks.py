"""Combinations that cannot work, refused before a launch. Pure: values and family facts in, problems out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from backend.config.base import flatten
from backend.config.data import DataSection
from backend.config.datasets import DatasetConfig, PictureRules
from backend.config.problems import Level, Problem
from backend.config.root import TrainConfig, parameters

Values = Mapping[str, Any]
Rule = Callable[[TrainConfig, Values], Iterator[Problem]]


def _problem(level: Level, code: str, path: str, **params: Any) -> Problem:
    return Problem(level, code, path, params)


def _data(config: TrainConfig, values: Values) -> Iterator[Problem]:
    if not config.data.datasets:
        yield _problem("error", "datasets_empty", "data.datasets")
    for index, dataset in enumerate(config.data.datasets):
        if not dataset.path.strip():
            yield _problem("error", "dataset_path_empty", f"data.datasets[{index}].path", number=index + 1)
    step = values["family.min_bucket_step"]
    for name in ("width", "height"):
        value = getattr(config.data, name)
        if value % step:
            yield _problem("error", "size_not_multiple", f"data.{name}", value=value, step=step)


def _buckets(config: TrainConfig, values: Values) -> Iterator[Problem]:
    data = config.data
    if not data.enable_bucket:
        return
    if data.bucket_step % values["family.min_bucket_step"]:
        yield _problem(
            "error", "bucket_step", "data.bucket_step", value=data.bucket_step, step=values["family.min_bucket_step"]
        )
    most = math.isqrt(data.width * data.height)
    if data.bucket_step > most:
        yield _problem("error", "bucket_step_large", "data.bucket_step", value=data.bucket_step, most=most)
    shorter, longer = sorted((data.width, data.height))
    if data.min_bucket_resolution > shorter:
        yield _problem(
            "error", "bucket_min", "data.min_bucket_resolution", value=data.min_bucket_resolution, shorter=shorter
        )
    if data.max_bucket_resolution < longer:
        yield _problem(
            "error", "bucket_max", "data.max_bucket_resolution", value=data.max_bucket_resolution, longer=longer
        )


def _rules_in_use(data: DataSection) -> Iterator[tuple[PictureRules, Callable[[str], str]]]:
    """Yield the rules of each data set with what makes a path of a rule's name; the general ones when there is none."""
    rows = [(index, row) for index, row in enumerate(data.datasets) if row.enabled]
    for index, row in rows:
        yield data.rules_of(row), partial(_path_of_rule, index, row)
    if not rows:
        yield data, "data.{}".format


def _path_of_rule(index: int, row: DatasetConfig, name: str) -> str:
    return f"data.{name}" if getattr(row, name) is None else f"data.datasets[{index}].{name}"


def _caches(config: TrainConfig, values: Values) -> Iterator[Problem]:
    data, cache, training = config.data, config.cache, config.training
    for rules, path in _rules_in_use(data):
        if cache.latents != "off" and rules.crop == "random":
            yield _problem("error", "latents_random_crop", path("crop"))
        if cache.latents != "off" and rules.color_augmentation:
            yield _problem("error", "latents_color", path("color_augmentation"))
        if cache.text_embeddings != "off" and rules.shuffle_caption and not rules.caption_variants:
            yield _problem("error", "text_cache_shuffle", path("shuffle_caption"))
    if cache.text_embeddings == "off":
        return
    if training.train_text_encoder:
        yield _problem("error", "text_cache_trained", "training.train_text_encoder")
    if training.train_text_encoder_2 and values["family.num_text_encoders"] > 1:
        yield _problem("error", "text_cache_trained", "training.train_text_encoder_2")


def _targets(config: TrainConfig, values: Values) -> Iterator[Problem]:
    training = config.training
    trains_second = training.train_text_encoder_2 and values["family.num_text_encoders"] > 1
    if not (training.train_denoiser or training.train_text_encoder or trains_second):
        yield _problem("error", "nothing_to_train", "training.train_denoiser")
    if training.mixed_precision == "fp16" and config.hardware.device == "cpu":
        yield _problem("error", "fp16_on_cpu", "training.mixed_precision")


def _noise(config: TrainConfig, _values: Values) -> Iterator[Problem]:
    noise = config.noise
    if noise.noise_offset and noise.multires_noise_iterations:
        yield _problem("error", "noise_offset_multires", "noise.noise_offset")
    if noise.min_timestep >= noise.max_timestep:
        yield _problem(
            "error", "timestep_range", "noise.min_timestep", value=noise.min_timestep, max=noise.max_timestep
        )
    if noise.zero_terminal_snr and config.model.prediction_type == "epsilon":
        yield _problem("error", "ztsnr_epsilon", "noise.zero_terminal_snr")


def _learning_rates(config: TrainConfig, _values: Values) -> Iterator[Problem]:
    optimizer, scheduler = config.optimizer, config.scheduler
    if scheduler.warmup_steps and scheduler.warmup_ratio:
        yield _problem("error", "warmup_twice", "scheduler.warmup_ratio")
    if optimizer.kind == "prodigy" and optimizer.learning_rate < 0.1:
        yield _problem("warning", "prodigy_rate", "optimizer.learning_rate", value=optimizer.learning_rate)
    if optimizer.kind != "prodigy" and config.adapter.kind == "full" and optimizer.learning_rate >= 1e-4:
        yield _problem("warning", "full_rate", "optimizer.learning_rate", value=optimizer.learning_rate)
    if optimizer.kind not in ("prodigy", "adafactor") and optimizer.learning_rate > 0.01:
        yield _problem("warning", "rate_high", "optimizer.learning_rate", value=optimizer.learning_rate)
    if optimizer.kind == "prodigy" and len(_rates(config)) > 1:
        yield _problem("error", "prodigy_rates", "optimizer.text_encoder_learning_rate")
    if not any(_rates(config)):
        yield _problem("error", "rates_zero", "optimizer.learning_rate")


def _rates(config: TrainConfig) -> set[float]:
    """Return the distinct learning rates of the components that are trained."""
    training, optimizer = config.training, config.optimizer
    own = {
        "denoiser": (training.train_denoiser, optimizer.denoiser_learning_rate),
        "text_encoder": (training.train_text_encoder, optimizer.text_encoder_learning_rate),
        "text_encoder_2": (training.train_text_encoder_2, optimizer.text_encoder_2_learning_rate),
    }
    return {optimizer.learning_rate if rate is None else rate for trained, rate in own.values() if trained}


def _outputs(config: TrainConfig, values: Values) -> Iterator[Problem]:
    if not config.model.base_model.strip():
        yield _problem("error", "base_model_empty", "model.base_model")
    sampling, step = config.sampling, values["family.min_bucket_step"]
    for index, prompt in enumerate(sampling.prompts):
        if not prompt.prompt.strip():
            yield _problem("warning", "prompt_empty", f"sampling.prompts[{index}].prompt", number=index + 1)
    if not sampling.prompts:
        yield _problem("warning", "no_samples", "sampling.prompts")
    for name in ("width", "height"):
        value = getattr(sampling, name)
        if value % step:
            yield _problem("error", "size_not_multiple", f"sampling.{name}", value=value, step=step)
    gpu_ids = [part for part in config.hardware.gpu_ids.split(",") if part]
    if gpu_ids and len(gpu_ids) != config.hardware.num_processes:
        yield _problem(
            "error",
            "gpu_ids_count",
            "hardware.gpu_ids",
            value=config.hardware.gpu_ids,
            num=config.hardware.num_processes,
        )


def _without_effect(_config: TrainConfig, values: Values) -> Iterator[Problem]:
    """Warn about every value that was set where it does nothing."""
    for item in parameters():
        value = values[item.path]
        if value != item.default and value not in (None, []) and not item.applies(values):
            yield _problem("warning", "no_effect", item.path, value=value, title=item.title)


RULES: tuple[Rule, ...] = (_data, _buckets, _caches, _targets, _noise, _learning_rates, _outputs, _without_effect)


def check(config: TrainConfig, facts: Values) -> list[Problem]:
    """Return every problem of a valid configuration in itself, errors first.

    Args:
        config: The configuration.
        facts: `FamilySpec.facts()` of the family that it names.
    """
    values = {**flatten(config), **facts}
    # Rules that several data sets share are told once.
    problems = {(found.code, found.path): found for rule in RULES for found in rule(config, values)}.values()
    return sorted(problems, key=lambda problem: problem.level != "error")
