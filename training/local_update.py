"""T of seed 003, equation (2): M_{i+1} <- T(M_i, M_O, d_{i+1}), update rule ``edgeproof/sgd/v1``.

The rule: start from the aggregate M_O; for every epoch visit the examples in an order drawn from (seed, run,
step number, data set digest, epoch), in batches of ``batch_size`` (the last one may be shorter); after each
batch one step of SGD with momentum on the mean cross-entropy, in float32. M_i is an input that the step is
bound to and that must be a snapshot of the same model; v1 reads nothing else from it, since M_O already
carries its share of it.

One thread, deterministic kernels: the same inputs in an equal environment give the same bits. The optimiser
is spelled out here (v <- momentum v + g, w <- w - rate v) rather than taken from ``torch.optim``, whose
defaults and fused variants change between versions and whose first use imports for seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from chaincode.api import Recipe
from training.errors import MalformedSnapshot
from training.models import Weights, logits
from training.snapshots import encode_snapshot, read_snapshot
from training.streams import permutation

if TYPE_CHECKING:
    import torch

__all__ = ["accuracy", "local_update", "prepare_torch"]

_MILLION = 1_000_000


def prepare_torch() -> None:
    """Make this process compute deterministically; call before anything else is done with torch."""
    import torch

    torch.set_num_threads(1)
    # Same switch as use_deterministic_algorithms(True), which imports the compiler for seconds.
    torch.set_deterministic_debug_mode("error")
    torch.set_default_dtype(torch.float32)
    torch.set_flush_denormal(False)


def local_update(
    recipe: Recipe,
    run: str,
    number: int,
    data: bytes,
    parent: bytes,
    aggregate: bytes,
    features: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
) -> bytes:
    """Compute M_{i+1}. Needs torch: for workers.

    Args:
        recipe: the run's recipe.
        run: the run's name.
        number: i + 1.
        data: digest of the data set's manifest.
        parent: snapshot M_i.
        aggregate: snapshot M_O.
        features: shape: (examples, features).
        labels: shape: (examples,), classes from 0.

    Returns:
        Snapshot M_{i+1}; without examples it has M_O's weights.

    Raises:
        SnapshotError: an input is no snapshot of the recipe's model, or training ran away.
    """
    import torch
    from torch.nn import functional

    read_snapshot(recipe, parent)
    tensors = _tensors(read_snapshot(recipe, aggregate))
    for tensor in tensors.values():
        tensor.requires_grad_(True)
    # torch.tensor copies into memory that torch itself aligns; kernels may round by alignment.
    x, y = torch.tensor(features), torch.tensor(labels)
    rate, momentum = recipe.learning_rate_ppm / _MILLION, recipe.momentum_ppm / _MILLION
    velocities = [torch.zeros_like(tensor) for tensor in tensors.values()]
    for epoch in range(recipe.epochs):
        order = permutation(len(labels), "edgeproof/shuffle/v1", recipe.seed, run, number, data, epoch)
        for start in range(0, len(order), recipe.batch_size):
            batch = torch.tensor(order[start : start + recipe.batch_size])
            loss = functional.cross_entropy(logits(recipe, tensors, x[batch]), y[batch])
            gradients = torch.autograd.grad(loss, list(tensors.values()))
            with torch.no_grad():
                for tensor, velocity, gradient in zip(tensors.values(), velocities, gradients, strict=True):
                    velocity.mul_(momentum).add_(gradient)
                    tensor.add_(velocity, alpha=-rate)
    weights: Weights = {name: tensor.detach().numpy().copy() for name, tensor in tensors.items()}
    try:
        return encode_snapshot(weights)
    except MalformedSnapshot as error:
        raise MalformedSnapshot(f"training ran away: {error}") from error


def accuracy(
    recipe: Recipe, snapshot: bytes, features: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]
) -> float:
    """Fraction of examples whose class has the largest output. Needs torch: for workers."""
    import torch

    if len(labels) == 0:
        return 0.0
    tensors = _tensors(read_snapshot(recipe, snapshot))
    with torch.no_grad():
        found = logits(recipe, tensors, torch.tensor(features)).argmax(dim=1).numpy()
    return float((found == labels).mean())


def _tensors(weights: Weights) -> dict[str, torch.Tensor]:
    import torch

    return {name: torch.tensor(array) for name, array in weights.items()}
