"""The loss on pictures that are never trained on: always the same noise, so that only the model changes the number."""

from __future__ import annotations

from collections import defaultdict

import torch

from backend.data.loader import Batch
from backend.training import noise
from backend.training.distributed import gathered
from backend.training.session import Session
from backend.training.step import ask, encode, judge, latents_of

# Apart from every seed of training steps.
VALIDATION_SEED = 0x5EED


def timesteps_of(count: int, *, first: int, last: int) -> list[int]:
    """Return `count` timesteps spread evenly over first..last - 1: the middles of equal parts."""
    return [first + int((number + 0.5) * (last - first) / count) for number in range(count)]


@torch.no_grad()
def validate(session: Session) -> None:
    """Measure the loss on the validation pictures, each process its share, and tell of it."""
    if not len(session.validation):
        return
    session.reporter.phase("validating")
    modules = list(session.family.components.values())
    was_training = [module.training for module in modules]
    for module in modules:
        module.eval()
    try:
        rows = gathered(session.state, _measure(session))
    finally:
        for module, training in zip(modules, was_training, strict=True):
            module.train(training)
    if not rows:  # all of them turned bad since the start, which was told
        return
    by_dataset: dict[str, list[float]] = defaultdict(list)
    for title, loss in rows:
        by_dataset[title].append(loss)
    session.reporter.validation(
        step=session.loop.step,
        epoch=session.loop.epoch,
        loss=sum(loss for _, loss in rows) / len(rows),
        datasets={title: sum(found) / len(found) for title, found in sorted(by_dataset.items())},
        num_images=len(rows),
    )


def _measure(session: Session) -> list[tuple[str, float]]:
    """Return the data set and the loss of each picture of this process's share."""
    rows: list[tuple[str, float]] = []
    numbers = range(session.state.process_index, len(session.validation), session.state.num_processes)
    for done, number in enumerate(numbers, 1):
        batch = session.validation.batch(number)
        if batch is not None:
            rows.append((session.validation.title(number), _loss(session, batch, number)))
        session.reporter.progress(done, len(numbers), "pictures")
    return rows


def _loss(session: Session, batch: Batch, number: int) -> float:
    """Return a picture's mean loss over the timesteps."""
    config, device = session.config, session.state.device
    total = 0.0
    with torch.autocast(device.type, session.precision, enabled=session.precision != torch.float32):
        latents, text = latents_of(session, batch), encode(session, batch)
        wanted = timesteps_of(
            config.validation.num_timesteps, first=config.noise.min_timestep, last=config.noise.max_timestep
        )
        for place, timestep in enumerate(wanted):
            seed = noise.step_seed(VALIDATION_SEED, step=number, process=0, micro_batch=place)
            drawn = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
            question = ask(session, batch, noise_of=drawn, timesteps=torch.tensor([timestep]), latents=latents)
            prediction = session.family.predict(question.noisy, question.timesteps, text, question.geometry)
            total += float(judge(session, batch, prediction, question.target, question.timesteps))
    return total / len(wanted)
