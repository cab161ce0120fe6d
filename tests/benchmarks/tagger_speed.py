"""How near a whole tagging comes to the bare model: pictures per second of both, by turns in one run.

    python tests/benchmarks/tagger_speed.py [--pictures 12] [--rounds 7] [--side 1024] [--batch-size 4]

The model is a ViT-base of patches of 16 at 448 px with random weights. The bare side feeds ready-made arrays to the
ONNX session; ours decodes JPEGs, pads and scales them, chooses among 10,000 tags, and writes captions through
the journal. Of the time that ours takes longer it says where it goes: before the first batch (the folder is listed,
the first pictures are decoded), between batches (tags are chosen, captions written), after the last one (files are
flushed); the rest is the model itself, slowed by the threads that decode meanwhile.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

WIDTH, LAYERS, HEADS, PATCH, SIDE, NUM_TAGS = 768, 12, 12, 16, 448, 10_000
TARGET = 0.95


class Graph:
    """Builds an ONNX graph node by node."""

    def __init__(self) -> None:
        from onnx import helper, numpy_helper

        self.helper, self.numpy = helper, numpy_helper
        self.nodes: list = []
        self.weights: list = []
        self.random = np.random.default_rng(0)

    def constant(self, array: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(self.numpy.from_array(array, name))
        return name

    def weight(self, *shape: int, scale: float = 0.02) -> str:
        return self.constant((self.random.standard_normal(shape) * scale).astype(np.float32))

    def add(self, kind: str, *inputs: str, **attributes: object) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def norm(self, given: str) -> str:
        ones, zeros = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)
        return self.add("LayerNormalization", given, self.constant(ones), self.constant(zeros), axis=-1)

    def linear(self, given: str, inputs: int, outputs: int) -> str:
        return self.add("Add", self.add("MatMul", given, self.weight(inputs, outputs)), self.weight(outputs))

    def gelu(self, given: str) -> str:
        half, root, one = (self.constant(np.float32(value)) for value in (0.5, 2**-0.5, 1.0))
        raised = self.add("Add", self.add("Erf", self.add("Mul", given, root)), one)
        return self.add("Mul", self.add("Mul", given, raised), half)

    def attention(self, given: str) -> str:
        shape = self.constant(np.array([0, 0, HEADS, WIDTH // HEADS], np.int64))
        parts = [self.add("Reshape", self.linear(given, WIDTH, WIDTH), shape) for _ in range(3)]
        query, value = (self.add("Transpose", part, perm=[0, 2, 1, 3]) for part in (parts[0], parts[2]))
        key = self.add("Transpose", parts[1], perm=[0, 2, 3, 1])
        scaled = self.add("Mul", query, self.constant(np.float32((WIDTH // HEADS) ** -0.5)))
        mixed = self.add("MatMul", self.add("Softmax", self.add("MatMul", scaled, key), axis=-1), value)
        flat = self.add("Reshape", self.add("Transpose", mixed, perm=[0, 2, 1, 3]), self.wide())
        return self.linear(flat, WIDTH, WIDTH)

    def wide(self) -> str:
        return self.constant(np.array([0, 0, WIDTH], np.int64))


def make_model(folder: Path) -> None:
    """Write a ViT-base in the layout of the WD taggers."""
    import onnx
    from onnx import TensorProto

    graph = Graph()
    channels_first = graph.add("Transpose", "input", perm=[0, 3, 1, 2])
    scaled = graph.add("Mul", channels_first, graph.constant(np.float32(1 / 255)))
    patches = graph.add("Conv", scaled, graph.weight(WIDTH, 3, PATCH, PATCH), strides=[PATCH, PATCH])
    shape = graph.constant(np.array([0, WIDTH, -1], np.int64))
    state = graph.add("Transpose", graph.add("Reshape", patches, shape), perm=[0, 2, 1])
    state = graph.add("Add", state, graph.weight(1, (SIDE // PATCH) ** 2, WIDTH))
    for _ in range(LAYERS):
        state = graph.add("Add", state, graph.attention(graph.norm(state)))
        inner = graph.gelu(graph.linear(graph.norm(state), WIDTH, 4 * WIDTH))
        state = graph.add("Add", state, graph.linear(inner, 4 * WIDTH, WIDTH))
    mean = graph.add("ReduceMean", graph.norm(state), axes=[1], keepdims=0)
    # So that some tens of tags are above the threshold, as with pictures and models of this world.
    bias = graph.constant((graph.random.standard_normal(NUM_TAGS) * 0.7 - 2.5).astype(np.float32))
    scores = graph.add("Sigmoid", graph.add("Add", graph.linear(mean, WIDTH, NUM_TAGS), bias))
    helper = graph.helper
    made = helper.make_graph(
        graph.nodes,
        "vit",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info(scores, TensorProto.FLOAT, ["batch", NUM_TAGS])],
        graph.weights,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, folder / "model.onnx")
    rows = "".join(f"{number},tag_{number},{9 if number < 4 else 0},1\n" for number in range(NUM_TAGS))
    (folder / "selected_tags.csv").write_text(f"tag_id,name,category,count\n{rows}", encoding="utf-8")


def make_pictures(folder: Path, number: int, side: int) -> None:
    """Write JPEGs that cost what photographs do."""
    from PIL import Image

    folder.mkdir()
    random = np.random.default_rng(1)
    for index in range(number):
        rough = Image.fromarray(random.integers(0, 256, (side // 8, side * 3 // 32, 3), np.uint8))
        rough.resize((side * 3 // 4, side), Image.Resampling.BICUBIC).save(folder / f"{index:03}.jpg", quality=92)


def bare(tagger, arrays: list[np.ndarray], batch_size: int) -> np.ndarray:
    """Return the seconds of a picture with the session alone: on the wall, and of the processor."""
    session = tagger._session
    started = now()
    for start in range(0, len(arrays), batch_size):
        session.run([tagger._output], {tagger._input: np.stack(arrays[start : start + batch_size])})
    return (now() - started) / len(arrays)


def now() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


class Timed:
    """A tagger that notes when its model begins and ends a batch."""

    def __init__(self, tagger) -> None:
        self._tagger = tagger
        self.batches: list[tuple[float, float]] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._tagger, name)

    def describe(self, prepared: list) -> list:
        began = time.perf_counter()
        found = self._tagger.describe(prepared)
        self.batches.append((began, time.perf_counter()))
        return found

    def outside(self, started: float, ended: float) -> np.ndarray:
        """Return the seconds before, between and after the batches."""
        between = sum(after[0] - before[1] for before, after in itertools.pairwise(self.batches))
        return np.array([self.batches[0][0] - started, between, ended - self.batches[-1][1]])


def ours(tagger, config) -> tuple[np.ndarray, np.ndarray]:
    """Return the seconds of a picture with a whole tagging, on the wall and of the processor; and `Timed.outside`."""
    from taggers.tagging import Listener, Task, tag

    task, timed = Task(config, "benchmark"), Timed(tagger)
    started = now()
    tag(task, timed, Listener())
    ended = now()
    assert not task.counts.failed
    outside = timed.outside(started[0], ended[0])
    return (ended - started) / (task.counts.written + task.counts.skipped), outside


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--batch-size", type=int, default=4)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tagger-speed-"))
    os.environ["ATHANOR_HOME"] = str(folder)
    try:
        measure(folder, options)
    finally:
        shutil.rmtree(folder)


def measure(folder: Path, options: argparse.Namespace) -> None:
    from backend.data.images import read_rgb
    from taggers import files
    from taggers.base import Picture
    from taggers.config import TaggingConfig
    from taggers.kinds import load

    (folder / "model").mkdir()
    make_model(folder / "model")
    make_pictures(folder / "pictures", options.pictures, options.side)
    config = TaggingConfig(
        folders=[str(folder / "pictures")],
        model=str(folder / "model"),
        batch_size=options.batch_size,
        on_existing="overwrite",
        device="cpu",
    )
    tagger = load(files.at(folder / "model"), config)
    paths = sorted((folder / "pictures").glob("*.jpg"))
    arrays = [tagger.prepare(read_rgb(path), Picture("", path.name, path)) for path in paths]
    bare(tagger, arrays[: options.batch_size], options.batch_size)
    ratios, bares, wholes, outsides = [], [], [], []
    for number in range(options.rounds):
        # By turns, and bare on both sides: what else the machine does meanwhile meets both.
        before = bare(tagger, arrays, options.batch_size)
        whole, outside = ours(tagger, config)
        outsides.append(outside)
        after = bare(tagger, arrays, options.batch_size)
        alone = (before + after) / 2
        bares += [before[0], after[0]]
        wholes.append(whole[0])
        ratios.append(alone / whole)
        wall, processor = ratios[-1]
        speeds = f"bare {1 / alone[0]:.3f} pictures/s, ours {1 / whole[0]:.3f}"
        print(f"round {number + 1}: {speeds}, ratio {wall:.3f} (of processor time {processor:.3f})", flush=True)
    wall, processor = (statistics.median(values) for values in zip(*ratios, strict=True))
    before, between, after = np.median(outsides, axis=0) * 1000
    print(
        f"outside the model: {before:.0f} ms before the first batch, {between:.0f} between, {after:.0f} after the last"
    )
    fastest = min(bares) / min(wholes)
    print(f"fastest turns: bare {1 / min(bares):.3f} pictures/s, ours {1 / min(wholes):.3f}, ratio {fastest:.3f}")
    print(f"median of the rounds, of processor time {processor:.3f}")
    print(f"median of the rounds {wall:.3f} (target {TARGET}): {'met' if wall >= TARGET else 'MISSED'}")
    raise SystemExit(0 if wall >= TARGET else 1)


if __name__ == "__main__":
    main()
