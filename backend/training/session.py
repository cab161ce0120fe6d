"""Everything that a run works with, put together before the first step."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from torch.optim import Optimizer

from backend.config import paths
from backend.config.checks import check
from backend.config.problems import ConfigError, UserError
from backend.config.root import TrainConfig, load
from backend.data.datasets import written_out
from backend.data.loader import BatchStream, ValidationSet
from backend.data.plan import StepCount
from backend.families import specs
from backend.families.base import Family, LoadOptions
from backend.runs.control import Control, Request
from backend.runs.layout import RunFolder
from backend.training import adapters, checkpoint, feeding
from backend.training.adapters import Trainable
from backend.training.checkpoint import LoopState
from backend.training.distributed import shared
from backend.training.feeding import Caches, Feed
from backend.training.optimizers import make_optimizer
from backend.training.report import Reporter

PRECISIONS = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(slots=True)
class Session:
    """One run in one process."""

    run: RunFolder
    config: TrainConfig
    state: PartialState
    reporter: Reporter
    control: Control
    family: Family
    feed: Feed
    components: list[str]
    parameters: Trainable
    optimizer: Optimizer
    scaler: torch.amp.GradScaler
    loop: LoopState
    base_model_name: str
    resumed: bool

    @property
    def count(self) -> StepCount:
        """The arithmetic of the run."""
        return self.feed.count

    @property
    def stream(self) -> BatchStream:
        """The batches of this process."""
        return self.feed.stream

    @property
    def validation(self) -> ValidationSet:
        """What is measured and never trained on; may be empty."""
        return self.feed.validation

    @property
    def precision(self) -> torch.dtype:
        """The number format of the forward pass."""
        return PRECISIONS[self.config.training.mixed_precision]

    def requests(self) -> set[Request]:
        """Return what is asked of all processes now."""
        return shared(self.state, self.control.poll() if self.state.is_main_process else None)


def open_session(run: RunFolder, state: PartialState, reporter: Reporter, *, resume: bool) -> Session:
    """Load, cache and prepare, telling the phases.

    Raises:
        UserError: Anything that keeps the run from starting.
        caching.Stopped: The user asked to stop meanwhile.
    """
    config = load(run.config_path)
    spec = specs.get(config.model.family)
    refuse_mistakes(config, spec)
    check_device(config, state)
    control = Control(run.control_dir)
    found = checkpoint.find(run) if resume and state.is_main_process else None
    found = shared(state, found)
    loop = checkpoint.read_state(found) if found else LoopState(started_at=time.time())
    reporter.start(device=device_name(state), resumed_from_step=loop.step if found else None)
    reporter.phase("loading")
    found_pictures = feeding.find_pictures(config, reporter)
    family = load_family(config, state.device, spec)
    reporter.phase("caching")
    family.prepare_prompts(config.sampling.prompts)
    caches = feeding.fill_caches(config, family, found_pictures, state=state, teller=reporter, stop=control.stopping)
    unload_encoders(config, family, caches)
    feed = feeding.make_feed(
        config, found_pictures, caches, state=state, teller=reporter, scale_factor=family.vae_scale_factor
    )
    data = checkpoint.fingerprint(feed.placements, found_pictures.scan.datasets)
    settings = checkpoint.settings_of(config)
    if found:
        checkpoint.check_same(loop, settings=settings, data=data, num_processes=state.num_processes)
    components, parameters = prepare_training(config, family)
    optimizer = make_optimizer(
        {name: list(group.values()) for name, group in parameters.parameters.items()}, config.optimizer
    )
    scaler = torch.amp.GradScaler(state.device.type, enabled=config.training.mixed_precision == "fp16")
    if found:
        checkpoint.restore(found, parameters=parameters, optimizer=optimizer, scaler=scaler)
    loop.settings, loop.data, loop.num_processes = settings, data, state.num_processes
    return Session(
        run=run,
        config=config,
        state=state,
        reporter=reporter,
        control=control,
        family=family,
        feed=feed,
        components=components,
        parameters=parameters,
        optimizer=optimizer,
        scaler=scaler,
        loop=loop,
        base_model_name=Path(config.model.base_model).name,
        resumed=found is not None,
    )


def refuse_mistakes(config: TrainConfig, spec: specs.FamilySpec) -> None:
    """Raise when there is any error in the configuration itself, or in the data set files that it names."""
    whole = config.model_copy(update={"data": written_out(config.data)})
    errors = [problem for problem in check(whole, spec.facts()) if problem.level == "error"]
    if errors:
        raise ConfigError(errors)


def check_device(config: TrainConfig, state: PartialState) -> None:
    """Refuse to train on something else than what was asked for.

    Raises:
        UserError: There is no such device, or this PyTorch cannot use it.
    """
    wanted, found = config.hardware.device, state.device.type
    if wanted not in ("auto", found):
        raise UserError("device_missing", "hardware.device", value=wanted, found=found)


def device_name(state: PartialState) -> str:
    """Return the device in words."""
    if state.device.type == "cuda":
        return f"{torch.cuda.get_device_name(state.device)} ({state.device})"
    return state.device.type.upper()


def load_family(config: TrainConfig, device: torch.device, spec: specs.FamilySpec) -> Family:
    """Load the base model: what is only looked through in the training precision, what is trained in fp32."""
    precision = PRECISIONS[config.training.mixed_precision]
    full = config.adapter.kind == "full"
    model = config.model.model_copy(update={"base_model": paths.local_or_hub(config.model.base_model)})
    frozen_dtype = torch.float32 if full else precision
    options = LoadOptions(device, frozen_dtype, weighted_captions=config.data.weighted_captions)
    family = spec.load_class().load(model, options, spec)
    if full:
        kept = {*config.training.trained(family.spec.text_encoders), "vae"}
        for name, module in family.components.items():
            if name not in kept:
                module.to(precision)
    if config.noise.zero_terminal_snr:
        family.enable_zero_terminal_snr()
    return family


def unload_encoders(config: TrainConfig, family: Family, caches: Caches) -> None:
    """Let go of what the caches stand in for."""
    if caches.texts is not None:
        family.unload(*family.spec.text_encoders)
    if caches.latents is not None and not config.sampling.prompts and config.adapter.kind != "full":
        family.unload("vae")


def prepare_training(config: TrainConfig, family: Family) -> tuple[list[str], Trainable]:
    """Make trainable what is to be trained, and trade memory for time where asked."""
    components = config.training.trained(family.spec.text_encoders)
    if config.adapter.kind == "full":
        adapters.unfreeze(family, components)
    else:
        adapters.add_lora(family, components, config.adapter, seed=config.training.seed)
    for name in components:
        module = family.components[name]
        module.train()
        if config.training.gradient_checkpointing:
            enable_checkpointing(module)
    return components, Trainable.of(family, components)


def enable_checkpointing(module: torch.nn.Module) -> None:
    """Switch gradient checkpointing on, under diffusers' name or transformers'."""
    model: Any = module
    if hasattr(model, "enable_gradient_checkpointing"):
        model.enable_gradient_checkpointing()
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
