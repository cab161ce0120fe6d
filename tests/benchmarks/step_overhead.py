"""What a step of the trainer costs over others with the same work: python tests/benchmarks/step_overhead.py

All train the same LoRA on the same cached batches in one process, a step of each in turn, so that whatever else the
machine does falls on all. The bare loop does forward, backward, clip and optimizer step, no more. The third loop goes
about a step as diffusers' example train_text_to_image_lora.py does: Accelerator.accumulate, a prepared model, optimizer
and schedule, DDPMScheduler, a gathered loss. It is written after the example, not the example itself, which encodes the
picture and the caption anew in each step and so does more.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "training")]

import tiny  # noqa: E402
import torch  # noqa: E402
from accelerate import Accelerator  # noqa: E402
from diffusers import DDPMScheduler  # noqa: E402
from runner import make_run, write_pictures  # noqa: E402

from backend.data.loader import Batch  # noqa: E402
from backend.families.base import Geometry  # noqa: E402
from backend.training import loop  # noqa: E402
from backend.training.distributed import make_state  # noqa: E402
from backend.training.report import Reporter  # noqa: E402
from backend.training.session import Session, open_session  # noqa: E402
from backend.training.step import encode, train_step  # noqa: E402

TARGET = 1.05


def build_model(folder: Path, width: int) -> Path:
    """Write an SD 1.5 of some 25 million parameters."""
    small = tiny._unet
    tiny._unet = lambda **changes: small(
        **{"block_out_channels": (width, 2 * width), "layers_per_block": 2, "attention_head_dim": 8, "sample_size": 64}
        | changes
    )
    return tiny.build("sd15", folder)


def open_run(home: Path, *, size: int, width: int, device: str) -> Session:
    """Open a run that reads its latents and texts from the cache."""
    write_pictures(home / "pictures", 8)
    overlay = {
        "data": {"width": size, "height": size, "enable_bucket": False},
        "cache": {"text_embeddings": "disk"},
        "training": {"num_epochs": 100000, "batch_size": 1},
        "output": {"checkpoint_every_n_steps": 0},
        "hardware": {"device": device},
    }
    run = make_run(home, build_model(home / "model", width), overlay)
    return open_session(run, make_state(device), Reporter(run, is_main=True), resume=False)


def our_steps(session: Session) -> Iterator[float]:
    """Yield the seconds of each of the trainer's steps, reading of the batch and telling included."""
    while True:
        before = time.perf_counter()
        for group in loop.groups(session):
            started = time.perf_counter()
            result = train_step(session, group)
            loop.advance(session, group, result)
            loop.report(session, result, time.perf_counter() - started)
            session.requests()
            yield time.perf_counter() - before
            before = time.perf_counter()
        loop.end_epoch(session)


def bare_steps(session: Session, batches: list[Batch]) -> Iterator[float]:
    """Yield the seconds of each step of a loop without anything around it."""
    family, device = session.family, session.state.device
    parameters = session.parameters.all()
    while True:
        for batch in batches:
            before = time.perf_counter()
            latents = batch.images.to(device)
            noise = torch.randn_like(latents)
            timesteps = torch.randint(0, 1000, (len(batch),), device=device)
            geometry = Geometry(batch.original_sizes, batch.crop_top_lefts, batch.target_sizes)
            noisy = family.add_noise(latents, noise, timesteps)
            prediction = family.predict(noisy, timesteps, encode(session, batch), geometry)
            loss = torch.nn.functional.mse_loss(prediction, noise)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            session.optimizer.step()
            session.optimizer.zero_grad(set_to_none=True)
            loss.item()
            yield time.perf_counter() - before


def example_steps(session: Session, batches: list[Batch]) -> Iterator[float]:
    """Yield the seconds of each step of a loop in the manner of diffusers' example."""
    accelerator = Accelerator(cpu=session.state.device.type == "cpu")
    schedule = torch.optim.lr_scheduler.LambdaLR(session.optimizer, lambda step: 1.0)
    unet, optimizer, schedule = accelerator.prepare(session.family.components["denoiser"], session.optimizer, schedule)
    noise_scheduler = DDPMScheduler.from_config(session.family.scheduler.config)
    parameters = session.parameters.all()
    while True:
        for batch in batches:
            before = time.perf_counter()
            with accelerator.accumulate(unet):
                latents = batch.images.to(accelerator.device)
                noise = torch.randn_like(latents)
                timesteps = torch.randint(0, 1000, (len(batch),), device=latents.device).long()
                noisy = noise_scheduler.add_noise(latents, noise, timesteps)
                text = encode(session, batch)["prompt_embeds"]
                prediction = unet(noisy, timesteps, text, return_dict=False)[0]
                loss = torch.nn.functional.mse_loss(prediction.float(), noise.float(), reduction="mean")
                mean = accelerator.gather(loss.repeat(len(batch))).mean().item()
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(parameters, 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            assert mean == mean, "the loss is a number"
            yield time.perf_counter() - before


def main() -> None:
    """Measure and print the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="steps of each kind")
    parser.add_argument("--size", type=int, default=512, help="pixels along a side")
    parser.add_argument("--width", type=int, default=192, help="channels of the first block")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        session = open_run(Path(home), size=options.size, width=options.width, device=options.device)
        num_parameters = sum(parameter.numel() for parameter in session.family.components["denoiser"].parameters())
        batches = list(session.stream.batches(0))
        loops = (our_steps(session), bare_steps(session, batches), example_steps(session, batches))
        for _ in range(3):
            [next(steps) for steps in loops]
        rows = [[next(steps) for steps in loops] for _ in range(options.rounds)]
        session.reporter.end("stopped", step=session.loop.step)
    ours, bare, example = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"{num_parameters / 1e6:.1f} million parameters, {session.state.device}, {options.rounds} steps of each")
    print(f"ours {ours * 1e3:.1f} ms, bare {bare * 1e3:.1f} ms: {ours / bare:.3f} (target {TARGET})")
    print(f"in the manner of diffusers' example {example * 1e3:.1f} ms: {ours / example:.3f} (target 1)")


if __name__ == "__main__":
    main()
