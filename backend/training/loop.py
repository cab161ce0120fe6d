"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import psutil
import torch

from backend.config.problems import UserError
from backend.data.loader import Batch
from backend.runs.control import Request
from backend.training import checkpoint
from backend.training.distributed import gathered
from backend.training.sampling import sample
from backend.training.saving import save_model
from backend.training.session import Session
from backend.training.step import StepResult, train_step
from backend.training.validation import validate

LOSS_SMOOTHING = 0.98
# So many steps in a row without a usable number end the run: the weights of before are in the last checkpoint.
MAXIMUM_BAD_STEPS = 20


@dataclass(frozen=True, slots=True)
class Every:
    """A cadence in steps or epochs; 0 is never."""

    n: int

    def due(self, count: int) -> bool:
        """Tell whether it is time after so many."""
        return self.n > 0 and count > 0 and count % self.n == 0


def groups(session: Session) -> Iterator[list[Batch]]:
    """Yield what is left of the epoch in groups of one optimizer step; the last group of an epoch may be short."""
    size = session.config.training.gradient_accumulation_steps
    group: list[Batch] = []
    for batch in session.stream.batches(session.loop.epoch, session.loop.batches_done):
        group.append(batch)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def train(session: Session) -> Literal["finished", "stopped"]:
    """Train to the end, or until asked to stop."""
    loop, total = session.loop, session.count.total_steps
    sampling, output, validation = session.config.sampling, session.config.output, session.config.validation
    if not session.resumed:
        validate(session)
    if sampling.at_start and not session.resumed:
        sample(session)
    session.state.wait_for_everyone()
    session.reporter.phase("training")
    while loop.step < total:
        for group in groups(session):
            started = time.perf_counter()
            result = train_step(session, group)
            advance(session, group, result)
            report(session, result, time.perf_counter() - started)
            asked = session.requests()
            if Every(sampling.every_n_steps).due(loop.step) or "sample" in asked:
                sample(session)
            if Every(validation.every_n_steps).due(loop.step) and loop.step < total:
                validate(session)
            if Every(output.save_every_n_steps).due(loop.step) and loop.step < total:
                save_model(session, f"-step{loop.step:08d}")
            if Every(output.checkpoint_every_n_steps).due(loop.step) and loop.step < total:
                save_checkpoint(session)
            if asked & {"stop", "save"}:
                save_now(session, asked)
            if "stop" in asked:
                return "stopped"
            session.reporter.phase("training")
            if loop.step >= total:
                break
        else:
            end_epoch(session)
    finish(session)
    return "finished"


def advance(session: Session, group: list[Batch], result: StepResult) -> None:
    """Count the step; too many in a row without a usable number end the run.

    Raises:
        UserError: `nan_loss`.
    """
    loop = session.loop
    loop.step += 1
    loop.batches_done += len(group)
    if result.applied:
        loop.num_bad_steps = 0
        past = result.loss if loop.loss_ema is None else loop.loss_ema
        loop.loss_ema = LOSS_SMOOTHING * past + (1 - LOSS_SMOOTHING) * result.loss
        return
    loop.num_bad_steps += 1
    if loop.num_bad_steps >= MAXIMUM_BAD_STEPS:
        raise UserError("nan_loss", "optimizer.learning_rate", step=loop.step)


def report(session: Session, result: StepResult, seconds: float) -> None:
    """Tell of the step."""
    if not Every(session.config.logging.every_n_steps).due(session.loop.step):
        session.reporter.moved(step=session.loop.step)
        return
    session.reporter.step(
        step=session.loop.step,
        total=session.count.total_steps,
        epoch=session.loop.epoch,
        loss=result.loss,
        loss_ema=session.loop.loss_ema,
        lrs=result.rates,
        grad_norm=result.grad_norm,
        step_seconds=seconds,
        memory_bytes=memory_bytes(session.state.device),
    )


def memory_bytes(device: torch.device) -> int:
    """Return the most memory used on the card so far, or what this process uses of main memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return psutil.Process().memory_info().rss


def save_now(session: Session, asked: set[Request]) -> None:
    """Write a checkpoint, and the weights when the user asked to save."""
    if "save" in asked:
        save_model(session, f"-step{session.loop.step:08d}")
    save_checkpoint(session)


def save_checkpoint(session: Session) -> None:
    """Write the state of the run and tell of it."""
    if session.state.is_main_process:
        session.reporter.phase("saving")
        folder = checkpoint.save(
            session.run,
            session.loop,
            parameters=session.parameters,
            optimizer=session.optimizer,
            scaler=session.scaler,
            keep_last_n=session.config.output.keep_last_n_checkpoints,
        )
        session.reporter.emit("checkpoint", step=session.loop.step, path=str(folder))
    session.state.wait_for_everyone()


def end_epoch(session: Session) -> None:
    """Count the epoch and do what is due after it; the last one leaves that to the end of the run."""
    loop = session.loop
    loop.epoch += 1
    loop.batches_done = 0
    pass_warnings_on(session)
    if loop.step >= session.count.total_steps:
        return
    if Every(session.config.validation.every_n_epochs).due(loop.epoch):
        validate(session)
    if Every(session.config.sampling.every_n_epochs).due(loop.epoch):
        sample(session)
    if Every(session.config.output.save_every_n_epochs).due(loop.epoch):
        save_model(session, f"-{loop.epoch:06d}")


def pass_warnings_on(session: Session) -> None:
    """Tell what the other processes have met since the last time: only the main one is heard."""
    unheard = session.feed.unheard
    told = gathered(session.state, unheard[:])
    unheard.clear()
    for problem in told if session.state.is_main_process else []:
        session.reporter.warn(problem)


def finish(session: Session) -> None:
    """Measure, paint the last samples and write the finished weights."""
    pass_warnings_on(session)
    if session.config.validation.every_n_steps or session.config.validation.every_n_epochs:
        validate(session)
    last = f"{session.loop.step:08d}_00.png"
    if not (session.run.samples_dir / last).exists():
        sample(session)
    save_model(session, "")
