"""The demo's data: scikit-learn's digits (1,797 images of 8 by 8 pixels), as readings of devices."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.encodings import canonical_json

__all__ = ["CONTENT_TYPE", "DigitsSplit", "load_digits_split", "readings_of"]

CONTENT_TYPE = "application/json"
_HELD_OUT = 0.2
_SEED = 2024


@dataclass(frozen=True)
class DigitsSplit:
    """Images with labels; the held-out part never reaches a device."""

    train: tuple[tuple[tuple[int, ...], int], ...]
    """(64 pixels of 0 to 16, label of 0 to 9)."""
    held_out: tuple[tuple[tuple[int, ...], int], ...]


def load_digits_split() -> DigitsSplit:
    """Split the digits once for all: stratified, a fifth held out, the same in every run."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    pixels, labels = digits.data.astype(int), digits.target.astype(int)
    parts = train_test_split(pixels, labels, test_size=_HELD_OUT, random_state=_SEED, stratify=labels)
    train_pixels, test_pixels, train_labels, test_labels = (part.tolist() for part in parts)
    return DigitsSplit(
        train=tuple((tuple(image), label) for image, label in zip(train_pixels, train_labels, strict=True)),
        held_out=tuple((tuple(image), label) for image, label in zip(test_pixels, test_labels, strict=True)),
    )


def readings_of(split: DigitsSplit, devices: int) -> list[list[bytes]]:
    """Deal the training images out to ``devices`` devices, one by one in turn.

    Returns:
        For each device its readings in order: canonical JSON ``{"label": …, "pixels": […]}``.
    """
    dealt: list[list[bytes]] = [[] for _ in range(devices)]
    for position, (image, label) in enumerate(split.train):
        dealt[position % devices].append(canonical_json({"label": label, "pixels": list(image)}))
    return dealt
