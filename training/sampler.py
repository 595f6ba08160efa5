"""Selection of the crops of each batch: an epoch is a function of seed and epoch number alone, so that a run can be resumed at any batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from device.contract import ClockfaceError
from training.config import Recipe
from training.data import Crops

Numbers = NDArray[np.int64]


class SamplerError(ClockfaceError):
    """The data does not allow the batches that the recipe sets."""

    code = "sampler"


def plain(numbers: Numbers, batch_size: int, seed: int, epoch: int) -> list[Numbers]:
    """Every crop once, shuffled; the incomplete last batch is left out."""
    if len(numbers) < batch_size:
        raise SamplerError(f"schedule.batch_size = {batch_size}, but there are {len(numbers)} crops; reduce it")
    order = np.random.default_rng((seed, epoch, 2)).permutation(numbers)
    return [order[i : i + batch_size] for i in range(0, len(order) - batch_size + 1, batch_size)]


def people(numbers: Numbers, labels: NDArray[np.int64], batch_size: int, crops: int, seed: int, epoch: int) -> list[Numbers]:
    """P people x K crops per batch; crops of a person with fewer than K are repeated.

    Args:
        numbers: crops to draw from; those without a label are not used.
        labels: (N,) of the whole set.
        crops: K; P is batch_size / K.
    """
    rng = np.random.default_rng((seed, epoch, 3))
    known = numbers[labels[numbers] >= 0]
    order = known[np.argsort(labels[known], kind="stable")]
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    wanted = batch_size // crops
    if batch_size % crops or len(groups) < wanted:
        raise SamplerError(f"schedule.batch_size = {batch_size} must be sampler.crops = {crops} times at most {len(groups)} people; change one of them")
    chunks = [rng.choice(group, crops, replace=len(group) < crops) for group in groups for _ in range(max(1, len(group) // crops))]
    return _spread(chunks, [int(labels[chunk[0]]) for chunk in chunks], wanted, rng)


def _spread(chunks: list[Numbers], owners: list[int], wanted: int, rng: np.random.Generator) -> list[Numbers]:
    """Distribute shuffled chunks over batches so that no person is in a batch twice."""
    waiting = [int(i) for i in rng.permutation(len(chunks))]
    batches: list[Numbers] = []
    while True:
        taken: dict[int, int] = {}
        for i in waiting:
            if owners[i] not in taken:
                taken[owners[i]] = i
                if len(taken) == wanted:
                    break
        if len(taken) < wanted:
            return batches
        used = set(taken.values())
        waiting = [i for i in waiting if i not in used]
        batches.append(np.concatenate([chunks[i] for i in taken.values()]))


def neighbours(numbers: Numbers, teacher: NDArray[np.float32], batch_size: int, crops: int, seed: int, epoch: int) -> list[Numbers]:
    """Every crop once, in groups of at most K with similar teacher embeddings, so that hard pairs are in one batch.

    Args:
        numbers: crops to draw from.
        teacher: (N, D) unit rows of the whole set.
        crops: K.
    """
    if len(numbers) < batch_size:
        raise SamplerError(f"schedule.batch_size = {batch_size}, but there are {len(numbers)} crops; reduce it")
    rng = np.random.default_rng((seed, epoch, 4))
    near = nearest(teacher[numbers], min(4 * crops, len(numbers)))
    free, groups = np.ones(len(numbers), bool), []
    for first in rng.permutation(len(numbers)):
        if free[first]:
            alike = [int(i) for i in near[first] if free[i] and i != first]
            groups.append([int(first), *alike[: crops - 1]])
            free[groups[-1]] = False
    order = numbers[np.concatenate([groups[i] for i in rng.permutation(len(groups))])]
    return [order[i : i + batch_size] for i in range(0, len(order) - batch_size + 1, batch_size)]


def nearest(rows: NDArray[np.float32], count: int) -> Numbers:
    """(N, D) unit rows -> (N, count) indices of the most similar rows, the most similar first; the row itself is among them."""
    found = []
    for start in range(0, len(rows), 512):
        scores = rows[start : start + 512] @ rows.T  # (512, N)
        top = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        found.append(np.take_along_axis(top, np.argsort(-np.take_along_axis(scores, top, 1), axis=1, kind="stable"), 1))
    return np.concatenate(found)


def streamed(numbers: Numbers, shards: NDArray[np.int64], batch_size: int, together: int, world: int, seed: int, epoch: int) -> list[Numbers]:
    """Crops of shards in the order of the shards, which is drawn: each process reads shards of its own, once, and shuffles the crops of some at a time.

    Args:
        shards: (N,) of the whole set.
        batch_size: over all processes; each one's part stands together, as `shard` cuts it.
        together: shards whose crops are shuffled with each other.
    """
    rng = np.random.default_rng((seed, epoch, 7))
    order = rng.permutation(np.unique(shards[numbers]))
    if len(order) < world:
        raise SamplerError(f"{len(order)} shards for {world} processes; each process reads shards of its own: write more and smaller ones")
    place = np.argsort(shards[numbers], kind="stable")
    starts = dict(zip(*np.unique(shards[numbers][place], return_index=True), strict=True))
    of = {int(one): part for one, part in zip(starts, np.split(numbers[place], list(starts.values())[1:]), strict=True)}
    streams = []
    for rank in range(world):
        own = order[rank::world]
        groups = [own[i : i + together] for i in range(0, len(own), together)]
        streams.append(np.concatenate([rng.permutation(np.concatenate([of[int(one)] for one in group])) for group in groups]))
    each = batch_size // world
    count = min(len(stream) for stream in streams) // each
    if not count:
        raise SamplerError(f"schedule.batch_size = {each}, but a process has shards of {min(map(len, streams))} crops; reduce it")
    return [np.concatenate([stream[i * each : (i + 1) * each] for stream in streams]) for i in range(count)]


def shard(batches: list[Numbers], rank: int, world: int) -> list[Numbers]:
    """This process's equal part of every batch."""
    return [np.array_split(batch, world)[rank] for batch in batches]


def epoch_batches(numbers: Numbers, crops: Crops, recipe: Recipe, world: int, epoch: int) -> list[Numbers]:
    """The batches of one epoch over all processes, by the recipe's sampler."""
    size, seed = recipe.schedule.batch_size * world, recipe.run.seed
    if crops.shards is not None:
        if recipe.sampler.kind != "plain":
            raise SamplerError(f"sampler.kind = {recipe.sampler.kind!r} reads crops in any order, shards are read in theirs; set it to 'plain'")
        return streamed(numbers, crops.shards, size, recipe.data.open_shards, world, seed, epoch)
    if recipe.sampler.kind == "people":
        return people(numbers, crops.labels, size, recipe.sampler.crops, seed, epoch)
    if recipe.sampler.kind == "neighbours":
        if crops.teacher is None:
            raise SamplerError("sampler.kind = 'neighbours' requires teacher embeddings; set `teacher` of a source")
        return neighbours(numbers, crops.teacher, size, recipe.sampler.crops, seed, epoch)
    return plain(numbers, size, seed, epoch)
