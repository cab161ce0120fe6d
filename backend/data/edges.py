"""The edges of a picture by Canny's method, in numpy alone, so that they are the same on every machine."""

from __future__ import annotations

import numpy as np

SIGMA = 1.4
# Edges begin where the gradient of 8-bit greys is above HIGH, and go on while it is above LOW.
LOW, HIGH = 100.0, 200.0
# The steps to the neighbours along a gradient of 0, 45, 90 and 135 degrees: (down, right).
ALONG = ((0, 1), (1, 1), (1, 0), (1, -1))


def _blurred(grey: np.ndarray, axis: int) -> np.ndarray:
    """Blur along an axis; borders are continued."""
    places = np.arange(-2, 3)
    weights = np.exp(-(places**2) / (2 * SIGMA**2)).astype(np.float32)
    weights /= weights.sum()
    padding = [(2, 2) if each == axis else (0, 0) for each in (0, 1)]
    wide = np.pad(grey, padding, mode="edge")
    blurred = np.zeros(grey.shape, np.float32)
    for start, weight in enumerate(weights):
        end = start + grey.shape[axis]
        blurred += weight * (wide[start:end] if axis == 0 else wide[:, start:end])
    return blurred


def _gradients(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Sobel's gradients to the right and down: (H, W) each."""
    wide = np.pad(grey, 1, mode="edge")
    smooth_down = wide[:-2] + 2 * wide[1:-1] + wide[2:]
    smooth_right = wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:]
    return smooth_down[:, 2:] - smooth_down[:, :-2], smooth_right[2:] - smooth_right[:-2]


def _ridges(strength: np.ndarray, right: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Return where the strength is greatest along its gradient: bool (H, W)."""
    height, width = strength.shape
    direction = np.round(np.arctan2(down, right) / (np.pi / 4)).astype(int) % 4
    wide = np.pad(strength, 1)
    ridges = np.zeros(strength.shape, bool)
    for number, (y, x) in enumerate(ALONG):
        before = wide[1 - y : 1 - y + height, 1 - x : 1 - x + width]
        after = wide[1 + y : 1 + y + height, 1 + x : 1 + x + width]
        # Of two equal neighbours one wins.
        ridges |= (direction == number) & (strength > before) & (strength >= after)
    return ridges


def _followed(weak: np.ndarray, strong: np.ndarray) -> np.ndarray:
    """Return the weak edges that hang on a strong one: bool (H, W)."""
    width = weak.shape[1] + 2
    open_ones = np.pad(weak, 1).ravel()
    kept = np.pad(strong, 1).ravel()
    steps = np.array([y * width + x for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x])
    front = np.flatnonzero(kept)
    while len(front):
        near = np.unique(front[:, None] + steps)
        front = near[open_ones[near] & ~kept[near]]
        kept[front] = True
    return kept.reshape(-1, width)[1:-1, 1:-1]


def canny(grey: np.ndarray) -> np.ndarray:
    """Return the edges of greys of 0..255, (H, W): bool (H, W)."""
    smooth = _blurred(_blurred(grey.astype(np.float32), 0), 1)
    right, down = _gradients(smooth)
    strength = np.hypot(right, down)
    ridges = _ridges(strength, right, down)
    return _followed(ridges & (strength > LOW), ridges & (strength > HIGH))
