"""Combinations that cannot work, refused before a launch. Pure: values and family facts in, problems out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from backend.config.base import Parameter, flatten, item_values
from backend.config.data import DataSection
from backend.config.datasets import DatasetConfig, PictureRules
from backend.config.geometry import parse_size, targets_of
from backend.config.problems import Level, Problem
from backend.config.root import TrainConfig, item_parameters, parameters

Values = Mapping[str, Any]
Rule = Callable[[TrainConfig, Values], Iterator[Problem]]
# The rules by which a caption is another one each time.
VARYING_CAPTIONS = ("shuffle_caption", "token_warmup_steps", "tag_dropout_rate", "enable_wildcard")


def _problem(level: Level, code: str, path: str, **params: Any) -> Problem:
    return Problem(level, code, path, params)


def _data(config: TrainConfig, _values: Values) -> Iterator[Problem]:
    data = config.data
    rows = [(index, row) for index, row in enumerate(data.datasets) if row.enabled]
    if not rows:
        yield _problem("error", "datasets_empty", "data.datasets")
    for index, row in rows:
        path = f"data.datasets[{index}]"
        if not row.path.strip():
            yield _problem("error", "dataset_path_empty", f"{path}.path", number=index + 1)
        if row.role == "prior" and config.adapter.kind == "full":
            yield _problem("error", "prior_full", f"{path}.role", number=index + 1)
        if row.end_epoch and row.end_epoch < row.start_epoch:
            first, last = row.start_epoch, row.end_epoch
            yield _problem("error", "epochs_reversed", f"{path}.end_epoch", value=last, first=first, number=index + 1)


def _learned(config: TrainConfig, _values: Values) -> Iterator[Problem]:
    """Look for what keeps the data sets from being learned, though each is fine in itself."""
    data = config.data
    rows = [(index, row) for index, row in enumerate(data.datasets) if row.enabled]
    learned = [row for _, row in rows if row.role == "train"]
    if rows and not learned:
        yield _problem("error", "nothing_to_learn", f"data.datasets[{rows[0][0]}].role", value=rows[0][1].role)
    elif rows and not any(row.num_repeats or row.num_samples for row in learned):
        index = next(index for index, row in rows if row.role == "train")
        yield _problem("error", "repeats_zero", f"data.datasets[{index}].num_repeats", value=0)
    if learned and data.mixing == "weights" and not any(row.weight for row in learned):
        index = next(index for index, row in rows if row.role == "train")
        yield _problem("error", "weights_zero", f"data.datasets[{index}].weight", value=0)
    empty = [epoch for epoch in _turning_epochs(learned, config.training.num_epochs) if not _active(learned, epoch)]
    if learned and empty:
        yield _problem("warning", "epochs_without_data", "data.datasets", epoch=empty[0])


def _active(rows: Iterable[DatasetConfig], epoch: int) -> bool:
    return any(row.start_epoch <= epoch and (not row.end_epoch or epoch <= row.end_epoch) for row in rows)


def _turning_epochs(rows: Iterable[DatasetConfig], num_epochs: int) -> list[int]:
    """Return the epochs in which there may be fewer data sets than before: the first, and after each last one."""
    return sorted({1, *(row.end_epoch + 1 for row in rows if row.end_epoch and row.end_epoch < num_epochs)})


def _rules_in_use(data: DataSection) -> Iterator[tuple[PictureRules, Callable[[str], str]]]:
    """Yield the rules of each data set with what makes a path of a rule's name; the general ones when there is none."""
    rows = [(index, row) for index, row in enumerate(data.datasets) if row.enabled]
    for index, row in rows:
        yield data.rules_of(row), partial(_path_of_rule, index, row)
    if not rows:
        yield data, "data.{}".format


def _path_of_rule(index: int, row: DatasetConfig, name: str) -> str:
    return f"data.{name}" if getattr(row, name) is None else f"data.datasets[{index}].{name}"


def _sides_of(rules: PictureRules) -> list[tuple[str, int]]:
    """Return the lengths in pixels that are given, each with its parameter."""
    name, sizes = targets_of(rules)
    if name == "megapixels":
        return []
    if name == "width":
        return [("width", rules.width), ("height", rules.height)]
    return [(name, side) for size in sizes for side in size]


def _sizes(config: TrainConfig, values: Values) -> Iterator[Problem]:
    step = values["family.min_bucket_step"]
    for rules, path in _rules_in_use(config.data):
        for name, side in _sides_of(rules):
            if side < 16:
                yield _problem("error", "greater_than_equal", path(name), value=side, ge=16)
            elif side > 8192:
                yield _problem("error", "less_than_equal", path(name), value=side, le=8192)
            elif side % step:
                yield _problem("error", "size_not_multiple", path(name), value=side, step=step)
        if 0 < rules.maximum_aspect < rules.minimum_aspect:
            least, most = rules.minimum_aspect, rules.maximum_aspect
            yield _problem("error", "aspects_reversed", path("maximum_aspect"), value=most, least=least)


def _buckets(config: TrainConfig, values: Values) -> Iterator[Problem]:
    for rules, path in _rules_in_use(config.data):
        if not rules.enable_bucket:
            continue
        if rules.bucket_rule == "sizes":
            yield from _listed_sizes(rules, path)
            continue
        step, fits = rules.bucket_step, values["family.min_bucket_step"]
        if step % fits:
            yield _problem("error", "bucket_step", path("bucket_step"), value=step, step=fits)
        _, sizes = targets_of(rules)
        most = min(math.isqrt(max(0, width * height)) for width, height in sizes)
        if step > most:
            yield _problem("error", "bucket_step_large", path("bucket_step"), value=step, most=most)
        if rules.bucket_rule == "kohya" and not rules.bucket_no_upscale:
            yield from _bucket_limits(rules, path, sizes)
        if rules.bucket_rule == "aspects" and any(aspect <= 0 for aspect in rules.bucket_aspects):
            yield _problem("error", "greater_than", path("bucket_aspects"), value=min(rules.bucket_aspects), gt=0)


def _listed_sizes(rules: PictureRules, path: Callable[[str], str]) -> Iterator[Problem]:
    if not rules.bucket_sizes:
        yield _problem("error", "bucket_sizes_empty", path("bucket_sizes"))
    for text in rules.bucket_sizes:
        if parse_size(text) is None:
            yield _problem("error", "bucket_size_invalid", path("bucket_sizes"), value=text)


def _bucket_limits(
    rules: PictureRules, path: Callable[[str], str], sizes: Sequence[tuple[int, int]]
) -> Iterator[Problem]:
    shorter, longer = min(min(size) for size in sizes), max(max(size) for size in sizes)
    least, most = rules.min_bucket_resolution, rules.max_bucket_resolution
    if least > shorter:
        yield _problem("error", "bucket_min", path("min_bucket_resolution"), value=least, shorter=shorter)
    if most < longer:
        yield _problem("error", "bucket_max", path("max_bucket_resolution"), value=most, longer=longer)


def _caches(config: TrainConfig, values: Values) -> Iterator[Problem]:
    data, cache, training = config.data, config.cache, config.training
    for rules, path in _rules_in_use(data):
        if cache.latents != "off" and rules.crop == "random":
            yield _problem("error", "latents_random_crop", path("crop"))
        if cache.latents != "off" and rules.color_augmentation:
            yield _problem("error", "latents_color", path("color_augmentation"))
        if cache.text_embeddings != "off" and not rules.caption_variants:
            for name in VARYING_CAPTIONS:
                if getattr(rules, name):
                    yield _problem("error", "text_cache_varies", path(name), value=getattr(rules, name))
    if cache.text_embeddings == "off":
        return
    for index, row in enumerate(data.datasets):
        if row.enabled and row.code_path.strip() and not data.rules_of(row).caption_variants:
            yield _problem("error", "text_cache_varies", f"data.datasets[{index}].code_path", value=row.code_path)
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


def _without_effect(config: TrainConfig, values: Values) -> Iterator[Problem]:
    """Warn about every value that was set where it does nothing: neither in general nor for a data set."""
    members = item_parameters("datasets")
    rows = {index: row.model_dump() for index, row in enumerate(config.data.datasets) if row.enabled}
    seen = {index: item_values(values, members, row) for index, row in rows.items()}
    for item in parameters():
        if _is_set(item, values[item.path]) and not any(item.applies(each) for each in (values, *seen.values())):
            yield _no_effect(item, item.path, values[item.path])
    for index, row in rows.items():
        for member in members:
            if _is_set(member, row[member.name]) and not member.applies(seen[index]):
                yield _no_effect(member, f"data.datasets[{index}].{member.name}", row[member.name])


def _is_set(item: Parameter, value: Any) -> bool:
    return value != item.default and value not in (None, [])


def _no_effect(item: Parameter, path: str, value: Any) -> Problem:
    shown = ", ".join(map(str, value)) if isinstance(value, list) else value
    return _problem("warning", "no_effect", path, value=shown, parameter=item.title)


RULES: tuple[Rule, ...] = (
    _data,
    _learned,
    _sizes,
    _buckets,
    _caches,
    _targets,
    _noise,
    _learning_rates,
    _outputs,
    _without_effect,
)


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
