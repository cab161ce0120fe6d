"""Tiny taggers of the interfaces of the real ones: their outputs say exactly what they were given."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 8
# (name, category): what the tiny WD tagger knows, in its order.
TAGS = (
    ("general", 9),
    ("sensitive", 9),
    ("1girl", 0),
    ("long_hair", 0),
    ("^_^", 0),
    ("simple_background", 0),
    ("saber_(fate)", 4),
    ("fate_(series)", 3),
    ("some_artist", 1),
    ("highres", 5),
)
SCORES = (0.9, 0.2, 0.8, 0.5, 0.4, 0.36, 0.7, 0.65, 0.9, 0.95)


def _save(
    path: Path, nodes: list[onnx.NodeProto], shape: Sequence[int | str], num: int, **constants: np.ndarray
) -> Path:
    graph = helper.make_graph(
        nodes,
        "tagger",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [shape[0], num])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def _bright(
    axes: tuple[int, ...], weights: np.ndarray, scale: float
) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    """Return nodes that add the picture's mean over 255 times a weight for each output."""
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=list(axes), keepdims=0),
        helper.make_node("Mul", ["mean", "scale"], ["small"]),
        helper.make_node("Unsqueeze", ["small", "last"], ["column"]),
        helper.make_node("Mul", ["column", "weights"], ["shift"]),
        helper.make_node("Add", ["shift", "base"], ["output"]),
    ]
    return nodes, {"scale": np.float32(scale), "last": np.array([1], np.int64), "weights": weights.astype(np.float32)}


def wd(
    folder: Path, *, batch: int | str = "batch", scores: Sequence[float] = SCORES, bright: int = 0, work: int = 0
) -> Path:
    """Make a tagger in the layout of WD: fixed confidences; that of `bright` (if any) is the brightness.

    With `work` it takes its time: about so many milliseconds for a white picture, none for a black one.
    """
    weights = np.zeros(len(scores))
    base = np.array([scores], np.float32)
    if bright:
        weights[bright], base[0, bright] = 1, 0
    nodes, constants = _bright((1, 2, 3), weights, 1 / 255)
    if work:
        _make_slow(nodes, constants, work)
    _save(folder / "model.onnx", nodes, (batch, SIDE, SIDE, 3), len(scores), base=base, **constants)
    rows = [f"{number},{name},{kind},{1000 - number}" for number, (name, kind) in enumerate(TAGS)]
    (folder / "selected_tags.csv").write_text("\n".join(("tag_id,name,category,count", *rows)) + "\n", encoding="utf-8")
    return folder


def _make_slow(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], work: int) -> None:
    """Add thousands of rounds whose result counts nothing: one after the other, so that more cores make none faster."""
    constants |= {"pace": np.float32(1000 * work / 255), "nothing": np.float32(0)}
    nodes[0].output[0] = "mean0"
    nodes[1:1] = [
        helper.make_node("ReduceMin", ["input"], ["single"], keepdims=0),  # what is beside a picture is white
        helper.make_node("Mul", ["single", "pace"], ["much"]),
        helper.make_node("Cast", ["much"], ["rounds"], to=TensorProto.INT64),
        helper.make_node("Loop", ["rounds", "", "single"], ["rest"], body=_round()),
        helper.make_node("Mul", ["rest", "nothing"], ["none"]),
        helper.make_node("Add", ["mean0", "none"], ["mean"]),
    ]


def _round() -> onnx.GraphProto:
    """Return one round: about a microsecond."""
    names = (("number", TensorProto.INT64), ("goes_on", TensorProto.BOOL), ("before", TensorProto.FLOAT))
    given = [helper.make_tensor_value_info(name, kind, []) for name, kind in names]
    made = [
        helper.make_tensor_value_info(name, kind, [])
        for name, kind in (("still", TensorProto.BOOL), ("after", TensorProto.FLOAT))
    ]
    nodes = [helper.make_node("Identity", ["goes_on"], ["still"]), helper.make_node("Tanh", ["before"], ["after"])]
    return helper.make_graph(nodes, "round", given, made)


CL_TAGS = (
    ("best quality", "Quality"),
    ("general", "Rating"),
    ("explicit", "Rating"),
    ("1girl", "General"),
    ("solo", "General"),
    ("saber_(fate)", "Character"),
)
CL_LOGITS = (1.0, 2.0, -2.0, 3.0, -3.0, 1.5)


def cl(folder: Path, *, nested: bool = False) -> Path:
    """Make a tagger in the layout of cl_tagger: channels first, logits out, a JSON list in one of its two forms."""
    nodes, constants = _bright((1, 2, 3), np.zeros(len(CL_LOGITS)), 1.0)
    base = np.array([CL_LOGITS], np.float32)
    _save(folder / "model.onnx", nodes, ("batch", 3, SIDE, SIDE), len(CL_LOGITS), base=base, **constants)
    content: dict[str, object] = {str(n): {"tag": tag, "category": kind} for n, (tag, kind) in enumerate(CL_TAGS)}
    if nested:
        content = {
            "idx_to_tag": {str(number): tag for number, (tag, _) in enumerate(CL_TAGS)},
            "tag_to_category": dict(CL_TAGS),
        }
    (folder / "tag_mapping.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def echo(folder: Path, *, channels_first: bool) -> Path:
    """Make a tagger whose outputs are the numbers of its input, one after the other; those of WD are 256ths of it."""
    num = SIDE * SIDE * 3
    shape = (1, 3, SIDE, SIDE) if channels_first else (1, SIDE, SIDE, 3)
    nodes = [
        helper.make_node("Mul", ["input", "scale"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "flat"], ["output"]),
    ]
    scale = np.float32(1 if channels_first else 1 / 256)
    _save(folder / "model.onnx", nodes, shape, num, flat=np.array([1, num], np.int64), scale=scale)
    if channels_first:
        content = {str(number): {"tag": f"t{number}", "category": "General"} for number in range(num)}
        (folder / "tag_mapping.json").write_text(json.dumps(content), encoding="utf-8")
    else:
        rows = "".join(f"{number},t{number},0,1\n" for number in range(num))
        (folder / "selected_tags.csv").write_text(f"tag_id,name,category,count\n{rows}", encoding="utf-8")
    return folder
