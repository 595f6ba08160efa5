"""Each loss against its formula, written out again in plain Python loops over float64 numbers, with arccos where the formula has it."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from training.losses import build

CLASSES, SIZE, BATCH = 4, 3, 12


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(BATCH, SIZE, generator=generator, dtype=torch.float64) * 2
    return embeddings, torch.arange(BATCH) % CLASSES


def value(loss: torch.nn.Module, seed: int = 0) -> float:
    return float(loss.double()(*batch(seed)).detach())


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def length(a: list[float]) -> float:
    return math.sqrt(dot(a, a))


def angle(a: list[float], b: list[float]) -> float:
    return math.acos(dot(a, b) / length(a) / length(b))


def distance(a: list[float], b: list[float]) -> float:
    return math.dist(a, b)


def unit(a: list[float]) -> list[float]:
    return [x / length(a) for x in a]


def cross_entropy(rows: list[list[float]], labels: list[int]) -> float:
    return sum(-math.log(math.exp(row[y]) / sum(math.exp(z) for z in row)) for row, y in zip(rows, labels, strict=True)) / len(rows)


def margin_loss(weight: list[list[float]], scale: float, curve, seed: int = 0) -> float:
    """Cross-entropy with s f(theta) for the own class and s cos(theta) for the others; curve(theta, |x|) -> f."""
    embeddings, labels = batch(seed)[0].tolist(), batch(seed)[1].tolist()
    rows = []
    for x, y in zip(embeddings, labels, strict=True):
        angles = [angle(x, w) for w in weight]
        rows.append([scale * (curve(t, length(x)) if j == y else math.cos(t)) for j, t in enumerate(angles)])
    return cross_entropy(rows, labels)


@pytest.mark.parametrize("bias", [True, False])
def test_softmax(bias: bool) -> None:
    loss = build("softmax", SIZE, CLASSES, bias=bias).double()
    weight, embeddings = loss.weight.tolist(), batch()[0].tolist()
    shift = loss.linear.bias.tolist() if bias else [0.0] * CLASSES
    rows = [[dot(w, x) + b for w, b in zip(weight, shift, strict=True)] for x in embeddings]
    assert value(loss) == pytest.approx(cross_entropy(rows, batch()[1].tolist()), rel=1e-12)


def test_softmax_twice() -> None:
    loss = build("softmax_twice", SIZE, CLASSES).double()
    rows = []
    for x in batch()[0].tolist():
        powers = [math.exp(dot(w, x)) for w in loss.weight.tolist()]
        rows.append([power / sum(powers) for power in powers])
    assert value(loss) == pytest.approx(cross_entropy(rows, batch()[1].tolist()), rel=1e-12)


def test_softmax_twice_over_scaled_arcface() -> None:
    loss = build("softmax_twice", SIZE, CLASSES, over="arcface_scaled").double()
    rows = []
    for x in batch()[0].tolist():
        cosines = [math.cos(angle(w, x)) for w in loss.weight.tolist()]
        top = [math.exp(10 * math.cos(math.acos(c / 10) + 0.1)) for c in cosines]
        rows.append([t / (sum(math.exp(c) for c in cosines) - math.exp(c) + t) for t, c in zip(top, cosines, strict=True)])
    assert value(loss) == pytest.approx(cross_entropy(rows, batch()[1].tolist()), rel=1e-12)


def test_softmax_twice_gives_the_worked_example() -> None:
    """Ten classes, cosine 1 with the own one and -1 with the others: 0.2320 against 0.0233, and 0.1204 against 0.0977 the second time."""
    loss = build("softmax_twice", 2, 10, over="arcface_scaled")
    with torch.no_grad():
        loss.weight.copy_(torch.tensor([[1.0, 0.0]] + [[-1.0, 0.0]] * 9))
        once = loss.inner.probabilities(torch.tensor([[3.0, 0.0]]))[0]
    assert once[:2].tolist() == pytest.approx([0.2320, 0.0233], abs=5e-4)
    assert once.softmax(0)[:2].tolist() == pytest.approx([0.1204, 0.0977], abs=1e-4)


def test_center_divides_by_the_count_of_the_class_in_the_batch() -> None:
    loss = build("center", SIZE, CLASSES, center_weight=0.7).double()
    embeddings, labels, centers = batch()[0].tolist(), batch()[1].tolist(), loss.centers.tolist()
    pull = sum(distance(x, centers[y]) / labels.count(y) for x, y in zip(embeddings, labels, strict=True))
    assert value(loss) == pytest.approx(loss.softmax(*batch()).item() + 0.7 * pull, rel=1e-12)


def test_center_squared_and_its_centre_update() -> None:
    loss = build("center_squared", SIZE, CLASSES, center_weight=0.7, rate=0.25).double()
    embeddings, labels = batch()[0].tolist(), batch()[1].tolist()
    loss.centers.copy_(torch.randn(CLASSES, SIZE, dtype=torch.float64))
    centers = loss.centers.tolist()
    pull = sum(distance(x, centers[y]) ** 2 for x, y in zip(embeddings, labels, strict=True)) / 2 / BATCH
    assert value(loss) == pytest.approx(loss.softmax(*batch()).item() + 0.7 * pull, rel=1e-12)
    for k in range(CLASSES):
        own = [x for x, y in zip(embeddings, labels, strict=True) if y == k]
        moved = [c - 0.25 * sum(c - x[i] for x in own) / (1 + len(own)) for i, c in enumerate(centers[k])]
        assert loss.centers[k].tolist() == pytest.approx(moved, rel=1e-12)


def test_center_squared_keeps_its_centres_in_evaluation() -> None:
    loss = build("center_squared", SIZE, CLASSES).double().eval()
    loss(*batch())
    assert torch.equal(loss.centers, torch.zeros(CLASSES, SIZE, dtype=torch.float64))


@pytest.mark.parametrize("unit_length", [True, False])
def test_contrastive_over_all_pairs(unit_length: bool) -> None:
    points = [unit(x) if unit_length else x for x in batch()[0].tolist()]
    pairs = list(itertools.combinations(zip(points, batch()[1].tolist(), strict=True), 2))
    total = sum(distance(a, b) ** 2 if y == z else max(1.5 - distance(a, b), 0) ** 2 for (a, y), (b, z) in pairs)
    assert value(build("contrastive", SIZE, CLASSES, margin=1.5, unit_length=unit_length)) == pytest.approx(total / 2 / len(pairs), rel=1e-12)


def triplet_hinges(points: list[list[float]], labels: list[int], margin: float, mining: str) -> list[float]:
    indices, hinges = range(len(points)), []
    for a in indices:
        positives = [distance(points[a], points[p]) ** 2 for p in indices if p != a and labels[p] == labels[a]]
        negatives = [distance(points[a], points[n]) ** 2 for n in indices if labels[n] != labels[a]]
        if mining == "hard":
            hinges.append(max(positives) - min(negatives) + margin)
        for p in positives if mining != "hard" else []:
            chosen = negatives if mining == "all" else sorted(n for n in negatives if p < n < p + margin)[:1]
            hinges += [p - n + margin for n in chosen]
    return hinges


@pytest.mark.parametrize("unit_length", [True, False])
@pytest.mark.parametrize("mining", ["all", "semi_hard", "hard"])
def test_triplet_over_the_triplets_of_the_batch(mining: str, unit_length: bool) -> None:
    points = [unit(x) if unit_length else x for x in batch()[0].tolist()]
    margin = 0.4 if unit_length else 4.0
    expected = [h for h in triplet_hinges(points, batch()[1].tolist(), margin, mining) if h > 0]
    loss = build("triplet", SIZE, CLASSES, margin=margin, mining=mining, unit_length=unit_length)
    assert len(expected) > 3
    assert value(loss) == pytest.approx(sum(expected) / len(expected), rel=1e-9)


def test_triplet_with_nothing_left_to_learn_is_zero_with_a_zero_gradient() -> None:
    embeddings = torch.eye(3)[[0, 0, 1, 1]].requires_grad_()
    for mining in ("all", "semi_hard", "hard"):
        loss = build("triplet", 3, 2, mining=mining)(embeddings, torch.tensor([0, 0, 1, 1]))
        assert loss.item() == 0
        assert torch.equal(torch.autograd.grad(loss, embeddings)[0], torch.zeros(4, 3))


def psi(theta: float, m: int) -> float:
    k = min(int(m * theta / math.pi), m - 1)
    return (-1) ** k * math.cos(m * theta) - 2 * k


def arcface(theta: float, m: float) -> float:
    return math.cos(theta + m) if theta + m <= math.pi else math.cos(theta) - m * math.sin(math.pi - m)


CURVES = {  # name: (options, f(theta, |x|))
    "arcface": ({"margin": 0.4, "scale": 8.0}, lambda t, _: arcface(t, 0.4)),
    "arcface_straight_through": ({"margin": 0.4, "scale": 8.0}, lambda t, _: arcface(t, 0.4)),
    "arcface_naive": ({"margin": 0.4, "scale": 8.0}, lambda t, _: math.cos(t + 0.4)),
    "arcface_clipped_gradient": ({"margin": 0.4, "scale": 8.0}, lambda t, _: math.cos(t + 0.4)),
    "arcface_scaled": ({"margin": 0.2, "divisor": 5.0, "scale": 8.0}, lambda t, _: 5 * math.cos(math.acos(math.cos(t) / 5) + 0.2)),
    "cosface": ({"margin": 1.0, "scale": 8.0}, lambda t, _: math.cos(t) - 1.0),
}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", CURVES)
def test_margin_losses(name: str, seed: int) -> None:
    options, curve = CURVES[name]
    loss = build(name, SIZE, CLASSES, **options).double()
    assert value(loss, seed) == pytest.approx(margin_loss(loss.weight.tolist(), 8.0, curve, seed), rel=1e-9)


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5])
def test_a_softmax_keeps_the_length_of_the_embedding(m: int) -> None:
    loss = build("a_softmax", SIZE, CLASSES, margin=m, lambda_start=30.0, lambda_min=2.0).double()
    weight, rows, annealing = loss.weight.tolist(), [], 30 / 1.1
    for x, y in zip(batch()[0].tolist(), batch()[1].tolist(), strict=True):
        angles = [angle(x, w) for w in weight]
        own = (annealing * math.cos(angles[y]) + psi(angles[y], m)) / (1 + annealing)
        rows.append([length(x) * (own if j == y else math.cos(t)) for j, t in enumerate(angles)])
    assert value(loss) == pytest.approx(cross_entropy(rows, batch()[1].tolist()), rel=1e-9)


def test_a_softmax_anneals_in_training_only_and_down_to_its_minimum() -> None:
    loss = build("a_softmax", SIZE, CLASSES, lambda_start=10.0, lambda_min=5.0)
    seen = []
    for _ in range(12):
        loss(batch()[0].float(), batch()[1])
        seen.append(loss.annealing())
    assert seen == pytest.approx([max(5.0, 10 / (1 + 0.1 * step)) for step in range(1, 13)])
    loss.eval()(batch()[0].float(), batch()[1])
    assert loss.step == 12


def test_subcenter_arcface_takes_the_nearest_of_its_directions() -> None:
    loss = build("subcenter_arcface", SIZE, CLASSES, subcenters=3, margin=0.4, scale=8.0).double()
    rows = []
    for x, y in zip(batch()[0].tolist(), batch()[1].tolist(), strict=True):
        angles = [min(angle(x, w) for w in several) for several in loss.weight.tolist()]
        rows.append([8 * (arcface(t, 0.4) if j == y else math.cos(t)) for j, t in enumerate(angles)])
    assert value(loss) == pytest.approx(cross_entropy(rows, batch()[1].tolist()), rel=1e-9)


def test_adaface_margin_follows_the_length_of_the_embedding() -> None:
    loss = build("adaface", SIZE, CLASSES, margin=0.4, h=0.5, scale=8.0).double().eval()
    loss.mean.fill_(2.5)
    loss.std.fill_(1.0)

    def curve(theta: float, size: float) -> float:
        quality = min(max((size - 2.5) / 1.001 * 0.5, -1), 1)
        return math.cos(min(max(theta - 0.4 * quality, 0), math.pi)) - (0.4 + 0.4 * quality)

    assert value(loss) == pytest.approx(margin_loss(loss.weight.tolist(), 8.0, curve), rel=1e-9)


def test_adaface_statistics_run_in_training() -> None:
    loss = build("adaface", SIZE, CLASSES, momentum=0.9).double()
    lengths = [length(x) for x in batch()[0].tolist()]
    mean = sum(lengths) / BATCH
    std = math.sqrt(sum((size - mean) ** 2 for size in lengths) / (BATCH - 1))
    loss(*batch())
    assert float(loss.mean) == pytest.approx(0.9 * 20 + 0.1 * mean)
    assert float(loss.std) == pytest.approx(0.9 * 100 + 0.1 * std)
    loss.eval()(*batch())
    assert float(loss.mean) == pytest.approx(0.9 * 20 + 0.1 * mean)


def test_adaface_clips_the_turned_angle_to_the_half_circle() -> None:
    loss = build("adaface", SIZE, CLASSES, margin=0.4).double().eval()
    loss.mean.fill_(50.0)
    loss.std.fill_(1.0)
    ends = torch.tensor([0.1, math.pi - 0.1], dtype=torch.float64)
    assert loss.curve(ends, 90.0).tolist() == pytest.approx([1 - 0.8, math.cos(math.pi - 0.5) - 0.8])  # q = 1: theta - 0.4 < 0
    assert loss.curve(ends, 10.0).tolist() == pytest.approx([math.cos(0.5), -1.0])  # q = -1: theta + 0.4 > pi
