"""Several processes as one: gradients added up, requests and errors shared. With one process all of it is nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object, reduce
from torch import Tensor, nn
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors

# Gradients are added up in pieces of this size, so that the copy needs little memory.
PIECE_BYTES = 256 * 1024**2


def make_state(device: str) -> PartialState:
    """Join the process group that accelerate's launcher set up."""
    return PartialState(cpu=device == "cpu")


def add_up_gradients(state: PartialState, parameters: Iterable[nn.Parameter]) -> None:
    """Sum the gradients of all processes; a parameter that had no part in this step counts as zero."""
    if state.num_processes == 1:
        return
    grads = []
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        grads.append(parameter.grad)
    for piece in _pieces(grads):
        flat = reduce(_flatten_dense_tensors(piece), "sum")
        for grad, summed in zip(piece, _unflatten_dense_tensors(flat, piece), strict=True):
            grad.copy_(summed)


def _pieces(grads: Sequence[Tensor]) -> list[list[Tensor]]:
    pieces: list[list[Tensor]] = [[]]
    num_bytes = 0
    for grad in grads:
        if num_bytes > PIECE_BYTES:
            pieces.append([])
            num_bytes = 0
        pieces[-1].append(grad)
        num_bytes += grad.numel() * grad.element_size()
    return pieces


def add_up(state: PartialState, value: float) -> float:
    """Return the sum of a number over all processes."""
    if state.num_processes == 1:
        return value
    total = reduce(torch.tensor([value], dtype=torch.float64 if state.device.type == "cpu" else torch.float32), "sum")
    return float(total[0])


def shared(state: PartialState, value: Any) -> Any:
    """Return the main process's value in every process."""
    if state.num_processes == 1:
        return value
    return broadcast_object_list([value])[0]


def gathered(state: PartialState, items: list[Any]) -> list[Any]:
    """Return the items of all processes in their order."""
    return items if state.num_processes == 1 else list(gather_object(items))
