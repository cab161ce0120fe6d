"""Trains the base model of the embedded demo from nothing, on pictures that drawing.py draws; needs no download.

    python presets/demo/train_base.py --minutes 60 --work-dir WORK

Text encoder and UNet learn together: v-prediction with zero terminal SNR (Lin et al. 2024), min-SNR weights
(Hang et al. 2023), caption dropout for classifier-free guidance, an exponential moving average of the weights.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import string
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from drawing import COLOURS, IMAGE_SIZE, PLACES, SHAPES, SIZES, Scene, random_scene
from identity_vae import SCALING_FACTOR, build_vae
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

MODEL_DIR = Path(__file__).parent / "base_model"
TEXT_WIDTH = 128
MAX_TOKENS = 77
BATCH_SIZE = 32
NUM_THREADS = 2
LEARNING_RATE = 8e-4
WARMUP_STEPS = 200
# The rate is constant, then falls to zero over this last share of the time.
DECAY_SHARE = 0.6
EMA_DECAY = 0.999
MIN_SNR_GAMMA = 20.0
EMPTY_CAPTION_RATE = 0.1
# Half of the timesteps lie above this share of the range, where it is settled which shape is where.
COMPOSITION_FROM = 0.7
# Captions with a made-up noun: an unknown word then means "some shape", which a LoRA can give a meaning to.
NONSENSE_RATE = 0.08
NO_COLOUR_RATE = 0.1
NO_BACKGROUND_RATE = 0.05
TRIGGER_WORD = "zkz"
PREVIEW_EVERY_SECONDS = 240.0


def build_tokenizer() -> CLIPTokenizer:
    """Return a CLIP tokenizer whose byte pairs were learned on the captions' words alone."""
    text = " ".join([*SHAPES, *COLOURS, *SIZES, *PLACES, "a an background"])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    specials = ["<|startoftext|>", "<|endoftext|>"]
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(vocab_size=2000, min_frequency=1, end_of_word_suffix="</w>", show_progress=False)
    tokenizer.train_from_iterator([text], trainer)
    learned = [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]
    tokens = dict.fromkeys([*alphabet, *(f"{letter}</w>" for letter in alphabet), *learned, *specials])
    merges = [tuple(pair) for pair in _merges(tokenizer)]
    vocab = {token: index for index, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=MAX_TOKENS)


def _merges(tokenizer: Tokenizer) -> list[list[str]]:
    pairs = json.loads(tokenizer.to_str())["model"]["merges"]
    return [pair.split(" ") if isinstance(pair, str) else pair for pair in pairs]


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Return a CLIP text encoder of two layers with random weights."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=MAX_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def build_unet() -> UNet2DConditionModel:
    """Return the UNet with random weights; it reads the text where the picture is 10 and 5 pixels wide."""
    unet = UNet2DConditionModel(
        sample_size=IMAGE_SIZE,
        block_out_channels=(32, 64, 128, 160),
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        attention_head_dim=4,
        cross_attention_dim=TEXT_WIDTH,
        norm_num_groups=8,
    )
    unet.set_attn_processor(AttnProcessor())  # at this size faster on a CPU than the fused kernel
    return unet.to(memory_format=torch.channels_last)


def build_scheduler() -> DDIMScheduler:
    """Return Stable Diffusion's noise schedule, rescaled so that the last timestep is pure noise."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
    )


@dataclass(slots=True)
class Learner:
    """The two networks that learn, their moving averages, and how long they have learned."""

    text_encoder: CLIPTextModel
    unet: UNet2DConditionModel
    ema: nn.ModuleList
    optimizer: torch.optim.AdamW
    step: int = 0
    seconds: float = 0.0

    @property
    def modules(self) -> nn.ModuleList:
        """The learning networks in the order of `ema`."""
        return nn.ModuleList([self.text_encoder, self.unet])

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Everything that learns."""
        return list(self.modules.parameters())

    def state(self) -> dict[str, object]:
        """Return what `restore` takes."""
        return {
            "modules": self.modules.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }

    def restore(self, state: dict[str, object]) -> None:
        """Go on from a saved state."""
        self.modules.load_state_dict(state["modules"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]


def build_learner(tokenizer: CLIPTokenizer) -> Learner:
    """Return untrained networks and their optimizer."""
    text_encoder, unet = build_text_encoder(tokenizer), build_unet()
    modules = nn.ModuleList([text_encoder, unet])
    optimizer = torch.optim.AdamW(modules.parameters(), LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.01)
    return Learner(text_encoder, unet, copy.deepcopy(modules).requires_grad_(False), optimizer)


def training_caption(scene: Scene, rng: random.Random) -> str:
    """Return the caption of a picture as the model is to see it: sometimes empty, vague, or with a made-up noun."""
    if rng.random() < EMPTY_CAPTION_RATE:
        return ""
    noun = ""
    if rng.random() < NONSENSE_RATE:
        noun = "".join(rng.choices(string.ascii_lowercase, k=rng.randint(3, 4))).replace(TRIGGER_WORD, "qqq")
    no_colour = rng.random() < (0.5 if noun else NO_COLOUR_RATE)
    no_background = rng.random() < NO_BACKGROUND_RATE
    said = replace(scene, colour="") if no_colour else scene
    said = replace(said, background="") if no_background else said
    return said.caption(noun=noun)


def make_batch(rng: random.Random, tokenizer: CLIPTokenizer) -> tuple[Tensor, Tensor]:
    """Draw new pictures; return latents (B, 4, H, W) and token ids (B, 77)."""
    scenes = [random_scene(rng) for _ in range(BATCH_SIZE)]
    pixels = torch.from_numpy(numpy.stack([numpy.asarray(scene.draw()) for scene in scenes]))
    rgb = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
    latents = torch.cat([rgb, torch.zeros_like(rgb[:, :1])], dim=1) * SCALING_FACTOR  # what build_vae's encoder gives
    captions = [training_caption(scene, rng) for scene in scenes]
    tokens = tokenizer(captions, padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="pt")
    return latents.contiguous(memory_format=torch.channels_last), tokens.input_ids


def diffusion_loss(learner: Learner, scheduler: DDIMScheduler, latents: Tensor, token_ids: Tensor) -> Tensor:
    """Return the weighted v-prediction loss, at timesteps spread evenly, half of them over the noisy end."""
    strata = (torch.arange(len(latents)) + torch.rand(len(latents))) / len(latents)
    strata[::2] = COMPOSITION_FROM + (1 - COMPOSITION_FROM) * strata[::2]
    timesteps = (strata * scheduler.config.num_train_timesteps).long()
    noise = torch.randn_like(latents)
    noisy = scheduler.add_noise(latents, noise, timesteps)
    target = scheduler.get_velocity(latents, noise, timesteps)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):  # the cache is shared between threads
        text = learner.text_encoder(token_ids).last_hidden_state
        predicted = learner.unet(noisy, timesteps, encoder_hidden_states=text).sample
    alphas = scheduler.alphas_cumprod[timesteps]
    snr = alphas / (1 - alphas)
    # min(SNR, gamma) over the picture's error, one added to both so that pure noise is learned from too.
    weights = (snr.clamp(max=MIN_SNR_GAMMA) + 1) / (snr + 1)
    return (weights * (predicted.float() - target).square().mean(dim=(1, 2, 3))).mean()


def learning_rate(learner: Learner, *, total_seconds: float) -> float:
    """Return the rate of this step: warm-up by steps, decay by the clock."""
    left = max(0.0, 1 - learner.seconds / total_seconds)
    return LEARNING_RATE * min(1.0, (learner.step + 1) / WARMUP_STEPS, left / DECAY_SHARE)


def update_average(learner: Learner) -> None:
    """Move the averages towards the weights; quickly at first."""
    decay = min(EMA_DECAY, (learner.step + 1) / (learner.step + 10))
    averages, weights = list(learner.ema.parameters()), [p.detach() for p in learner.parameters]
    torch._foreach_lerp_(averages, weights, 1 - decay)


def gradients(learner: Learner, scheduler: DDIMScheduler, batch: tuple[Tensor, Tensor]) -> tuple[float, list[Tensor]]:
    """Return the loss of a part of a batch and its gradients; each thread calls this with its own part."""
    loss = diffusion_loss(learner, scheduler, *batch)
    return loss.item(), list(torch.autograd.grad(loss, learner.parameters))


def train_step(
    learner: Learner, scheduler: DDIMScheduler, batch: tuple[Tensor, Tensor], *, rate: float, workers: Executor
) -> float:
    """Take one step and return its loss.

    Each thread works on its part of the batch alone: threads that share every operation wait for each other all the
    time when the machine does other work, too.
    """
    parts = zip(*(tensor.chunk(NUM_THREADS) for tensor in batch), strict=True)
    results = list(workers.map(lambda part: gradients(learner, scheduler, part), parts))
    for index, parameter in enumerate(learner.parameters):
        parameter.grad = torch.stack([grads[index] for _, grads in results]).mean(dim=0)
    nn.utils.clip_grad_norm_(learner.parameters, 1.0)
    for group in learner.optimizer.param_groups:
        group["lr"] = rate
    learner.optimizer.step()
    update_average(learner)
    learner.step += 1
    return sum(loss for loss, _ in results) / NUM_THREADS


def pipeline(learner: Learner, tokenizer: CLIPTokenizer) -> StableDiffusionPipeline:
    """Return a pipeline of copies of the averaged weights."""
    text_encoder, unet = copy.deepcopy(list(learner.ema))
    return StableDiffusionPipeline(
        vae=build_vae(IMAGE_SIZE),
        text_encoder=text_encoder.eval(),
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def save_state(learner: Learner, path: Path) -> None:
    """Write the resumable state, whole or not at all."""
    partial = path.with_suffix(".part")
    torch.save(learner.state(), partial)
    partial.replace(path)


def train(learner: Learner, tokenizer: CLIPTokenizer, *, minutes: float, work_dir: Path, seed: int) -> None:
    """Train until the time is up; write the state and a preview of the model every few minutes."""
    scheduler = build_scheduler()
    rng = random.Random(f"{seed} {learner.step}")
    torch.manual_seed(seed + learner.step)
    average, saved_at = 0.0, learner.seconds
    torch.set_num_threads(1)
    workers = ThreadPoolExecutor(NUM_THREADS)
    while learner.seconds < minutes * 60:
        started = time.monotonic()
        rate = learning_rate(learner, total_seconds=minutes * 60)
        loss = train_step(learner, scheduler, make_batch(rng, tokenizer), rate=rate, workers=workers)
        average = loss if average == 0 else 0.98 * average + 0.02 * loss
        learner.seconds += time.monotonic() - started
        if learner.step % 50 == 0:
            print(f"step {learner.step} {learner.seconds / 60:.1f} min loss {average:.4f} lr {rate:.2e}", flush=True)
        if learner.seconds - saved_at > PREVIEW_EVERY_SECONDS:
            saved_at = learner.seconds
            save_state(learner, work_dir / "state.pt")
            pipeline(learner, tokenizer).save_pretrained(work_dir / "preview")


def main() -> None:
    """Read the arguments, train, and write the model in fp16."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60, help="for how long to train")
    parser.add_argument("--work-dir", type=Path, required=True, help="state and previews; goes on from what is there")
    parser.add_argument("--output-dir", type=Path, default=MODEL_DIR)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.work_dir.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(arguments.seed)
    tokenizer = build_tokenizer()
    learner = build_learner(tokenizer)
    state_path = arguments.work_dir / "state.pt"
    if state_path.is_file():
        learner.restore(torch.load(state_path, weights_only=True))
    count = sum(parameter.numel() for parameter in learner.modules.parameters())
    print(f"{count} parameters, {len(tokenizer)} tokens, from step {learner.step}", flush=True)
    train(learner, tokenizer, minutes=arguments.minutes, work_dir=arguments.work_dir, seed=arguments.seed)
    save_state(learner, state_path)
    pipeline(learner, tokenizer).to(dtype=torch.float16).save_pretrained(arguments.output_dir)


if __name__ == "__main__":
    main()
