"""What a weights file says of itself: kohya's `ss_*` keys, Stability's modelspec, and the hashes that A1111 shows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from backend.config.datasets import PictureRules
from backend.config.geometry import training_size
from backend.config.root import TrainConfig
from backend.families.specs import FamilySpec

IMPLEMENTATION = "https://github.com/Stability-AI/generative-models"
# sd-scripts' and Stability's names where they tell a model's prediction type apart.
VERSIONS = {("sd_v1", "v_prediction"): "sd_v1_v", ("sd_v2", "v_prediction"): "sd_v2_v"}
ARCHITECTURES = {
    ("stable-diffusion-v2", "epsilon"): "stable-diffusion-v2-512",
    ("stable-diffusion-v2", "v_prediction"): "stable-diffusion-v2-768-v",
}
LEGACY_HASH = slice(0x100000, 0x110000)
OPTIMIZERS = {
    "adamw": "torch.optim.adamw.AdamW",
    "adamw8bit": "bitsandbytes.optim.adamw.AdamW8bit",
    "lion": "lion_pytorch.lion_pytorch.Lion",
    "prodigy": "prodigyopt.prodigy.Prodigy",
    "adafactor": "transformers.optimization.Adafactor",
}


@dataclass(frozen=True, slots=True)
class TrainingFacts:
    """What the metadata tells of a run beside its configuration. No path, only names: files are shared.

    `num_images` and `num_reg_images` count repeats, as in sd-scripts; `folders` has (repeats, images) by the folder's
    name.
    """

    base_model_name: str
    prediction_type: str
    num_images: int
    batches_per_epoch: int
    total_steps: int
    step: int
    epoch: int
    started_at: float
    finished_at: float
    base_model_hash: str = ""
    num_reg_images: int = 0
    folders: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    tag_frequency: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    buckets: Sequence[tuple[tuple[int, int], int]] = ()


def tag_frequency(captions: Mapping[str, Sequence[str]], separator: str = ",") -> dict[str, dict[str, int]]:
    """Count the tags of each folder's captions, as kohya's files list them."""
    counts: dict[str, dict[str, int]] = {}
    for folder, texts in captions.items():
        folder_counts = counts.setdefault(folder, {})
        for text in texts:
            for tag in (part.strip() for part in text.split(separator)):
                if tag:
                    folder_counts[tag] = folder_counts.get(tag, 0) + 1
    return counts


def _network(config: TrainConfig) -> dict[str, Any]:
    return {
        "ss_network_module": "networks.lora",
        "ss_network_dim": config.adapter.rank,
        "ss_network_alpha": config.adapter.alpha,
        "ss_network_dropout": config.adapter.dropout or None,
        "ss_network_args": json.dumps({}),
    }


def _schedule(config: TrainConfig, facts: TrainingFacts) -> dict[str, Any]:
    training, optimizer, scheduler = config.training, config.optimizer, config.scheduler
    return {
        "ss_learning_rate": optimizer.learning_rate,
        "ss_unet_lr": optimizer.denoiser_learning_rate,
        "ss_text_encoder_lr": optimizer.text_encoder_learning_rate,
        "ss_optimizer": OPTIMIZERS[optimizer.kind],
        "ss_lr_scheduler": scheduler.kind,
        "ss_lr_warmup_steps": scheduler.warmup_steps or round(scheduler.warmup_ratio * facts.total_steps),
        "ss_max_train_steps": facts.total_steps,
        "ss_num_epochs": training.num_epochs,
        "ss_epoch": facts.epoch,
        "ss_steps": facts.step,
        "ss_total_batch_size": training.batch_size * training.gradient_accumulation_steps,
        "ss_gradient_accumulation_steps": training.gradient_accumulation_steps,
        "ss_gradient_checkpointing": training.gradient_checkpointing,
        "ss_mixed_precision": training.mixed_precision,
        "ss_max_grad_norm": training.max_grad_norm,
        "ss_seed": training.seed,
        "ss_min_snr_gamma": config.loss.min_snr_gamma or None,
        "ss_noise_offset": config.noise.noise_offset or None,
        "ss_multires_noise_iterations": config.noise.multires_noise_iterations or None,
        "ss_multires_noise_discount": config.noise.multires_noise_discount,
        "ss_zero_terminal_snr": config.noise.zero_terminal_snr,
    }


def _learned_rules(config: TrainConfig) -> list[PictureRules]:
    """Return the rules of each data set that is learned; the general ones when there is none."""
    rows = [row for row in config.data.datasets if row.enabled and row.role == "train"]
    return [config.data.rules_of(row) for row in rows] or [config.data]


def _data(config: TrainConfig, facts: TrainingFacts) -> dict[str, Any]:
    learned = _learned_rules(config)
    rules = learned[0]
    buckets = {
        str(index): {"resolution": list(size), "count": count} for index, (size, count) in enumerate(facts.buckets)
    }
    return {
        "ss_num_train_images": facts.num_images,
        "ss_num_reg_images": facts.num_reg_images,
        "ss_num_batches_per_epoch": facts.batches_per_epoch,
        "ss_resolution": str(training_size(rules)),
        "ss_enable_bucket": rules.enable_bucket,
        "ss_min_bucket_reso": rules.min_bucket_resolution,
        "ss_max_bucket_reso": rules.max_bucket_resolution,
        "ss_bucket_no_upscale": rules.bucket_no_upscale,
        "ss_bucket_info": json.dumps({"buckets": buckets}),
        "ss_dataset_dirs": json.dumps(
            {name: {"n_repeats": repeats, "img_count": count} for name, (repeats, count) in facts.folders.items()},
            ensure_ascii=False,
        ),
        "ss_tag_frequency": json.dumps(facts.tag_frequency, ensure_ascii=False),
        # Data sets may differ: these tell what was done to any of them.
        "ss_shuffle_caption": any(each.shuffle_caption for each in learned),
        "ss_flip_aug": any(each.flip_augmentation for each in learned),
        "ss_color_aug": any(each.color_augmentation for each in learned),
        "ss_random_crop": any(each.crop == "random" for each in learned),
        "ss_keep_tokens": rules.keep_tokens,
        "ss_caption_dropout_rate": rules.caption_dropout_rate,
    }


def ss_metadata(config: TrainConfig, spec: FamilySpec, facts: TrainingFacts) -> dict[str, str]:
    """Return kohya's metadata of a LoRA; every value is text, as the format wants."""
    values = {
        "ss_session_id": int(facts.started_at * 1000) % 2**32,
        "ss_training_started_at": facts.started_at,
        "ss_training_finished_at": facts.finished_at,
        "ss_output_name": config.output.name,
        "ss_base_model_version": VERSIONS.get(
            (spec.base_model_version, facts.prediction_type), spec.base_model_version
        ),
        "ss_v2": spec.name == "sd2",
        "ss_sd_model_name": facts.base_model_name,
        "ss_sd_model_hash": facts.base_model_hash or None,
        "ss_clip_skip": config.model.clip_skip if spec.clip_skip else None,
        "ss_max_token_length": config.model.max_token_length,
        **_network(config),
        **_schedule(config, facts),
        **_data(config, facts),
    }
    return {key: str(value) for key, value in values.items()}


def modelspec(config: TrainConfig, spec: FamilySpec, facts: TrainingFacts) -> dict[str, str]:
    """Return Stability's model metadata 1.0.1 (github.com/Stability-AI/ModelSpec)."""
    is_adapter = config.adapter.kind != "full"
    learned = _learned_rules(config)
    triggers = dict.fromkeys(rules.trigger_word for rules in learned if rules.trigger_word)
    architecture = ARCHITECTURES.get((spec.architecture, facts.prediction_type), spec.architecture)
    values = {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": architecture + ("/lora" if is_adapter else ""),
        "modelspec.implementation": IMPLEMENTATION,
        "modelspec.title": config.output.name,
        "modelspec.author": config.output.author,
        "modelspec.description": config.output.description,
        "modelspec.trigger_phrase": ", ".join(triggers),
        "modelspec.resolution": "{}x{}".format(*training_size(learned[0])),
        "modelspec.date": datetime.fromtimestamp(facts.finished_at, UTC).isoformat(timespec="seconds"),
        "modelspec.prediction_type": {"v_prediction": "v"}.get(facts.prediction_type, facts.prediction_type),
        "modelspec.encoder_layer": str(config.model.clip_skip) if spec.clip_skip else "",
    }
    return {key: value for key, value in values.items() if value}


def sshs_hashes(state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> tuple[str, str]:
    """Return `sshs_model_hash` and `sshs_legacy_hash` as sd-scripts computes them.

    The file is serialised with the `ss_*` keys only; the first is the sha256 of what follows the header, the second the
    first eight digits of the sha256 of 64 KiB at offset 1 MiB.
    """
    data = save(dict(state), metadata={key: value for key, value in metadata.items() if key.startswith("ss_")})
    start = 8 + int.from_bytes(data[:8], "little")
    return hashlib.sha256(data[start:]).hexdigest(), hashlib.sha256(data[LEGACY_HASH]).hexdigest()[:8]


def legacy_hash(path: Path) -> str:
    """Return the short hash by which A1111 and sd-scripts first named model files: of 64 KiB at offset 1 MiB."""
    with path.open("rb") as file:
        file.seek(LEGACY_HASH.start)
        return hashlib.sha256(file.read(LEGACY_HASH.stop - LEGACY_HASH.start)).hexdigest()[:8]


def lora_metadata(
    config: TrainConfig, spec: FamilySpec, facts: TrainingFacts, state: Mapping[str, Tensor]
) -> dict[str, str]:
    """Return everything that stands in a LoRA file's header; `state` is what is written, in its final dtype."""
    metadata = ss_metadata(config, spec, facts)
    hashes = dict(zip(("sshs_model_hash", "sshs_legacy_hash"), sshs_hashes(state, metadata), strict=True))
    return metadata | hashes | modelspec(config, spec, facts)
