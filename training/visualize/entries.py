"""The losses in the order of docs/losses.md, with settings for ten classes in two dimensions; and what is compared with what, one setting varied."""

from __future__ import annotations

from training.visualize.study import PanelEntry

TEN = {"scale": 10.0}  # 64 is for thousands of classes in hundreds of dimensions

ENTRIES = (
    PanelEntry("Softmax", "softmax"),
    PanelEntry("Softmax, no bias", "softmax", {"bias": False}),
    PanelEntry("Softmax twice", "softmax_twice"),
    PanelEntry("Center", "center"),
    PanelEntry("Center, squared", "center_squared", {"center_weight": 0.1}),
    PanelEntry("Contrastive", "contrastive"),
    PanelEntry("Siamese, L1", "siamese"),
    PanelEntry("Triplet, all", "triplet", {"mining": "all"}),
    PanelEntry("Triplet, semi-hard", "triplet", {"mining": "semi_hard"}),
    PanelEntry("Triplet, hard", "triplet", {"mining": "hard"}),
    PanelEntry("A-Softmax", "a_softmax"),
    PanelEntry("ArcFace, naive", "arcface_naive", {"margin": 0.3, **TEN}),
    PanelEntry("ArcFace, own gradient", "arcface_clipped_gradient", {"margin": 0.3, "clamp": False, **TEN}),
    PanelEntry("ArcFace, clipped gradient", "arcface_clipped_gradient", {"margin": 0.3, **TEN}),
    PanelEntry("ArcFace, cos / 10", "arcface_scaled", TEN),
    PanelEntry("cos / 10, softmax twice", "softmax_twice", {"over": "arcface_scaled"}),
    PanelEntry("ArcFace", "arcface", {"margin": 0.3, **TEN}),
    PanelEntry("ArcFace, straight-through", "arcface_straight_through", {"margin": 0.3, **TEN}),
    PanelEntry("CosFace", "cosface", {"margin": 0.15, **TEN}),
    PanelEntry("cos - 1", "cosface", {"margin": 1.0, **TEN}),
    PanelEntry("Sub-center ArcFace", "subcenter_arcface", {"subcenters": 2, "margin": 0.2, **TEN}),
    PanelEntry("AdaFace", "adaface", {"margin": 0.15, **TEN}),
)
ANIMATED = ("Softmax", "Center", "Triplet, all", "ArcFace, naive", "ArcFace", "CosFace")

LAMBDAS = tuple(PanelEntry(f"λ = {weight:g}", "center", {"center_weight": weight}) for weight in (0.0, 0.001, 0.1, 1.0))
PAIRS = (
    PanelEntry("Contrastive, unit length", "contrastive"),
    PanelEntry("Contrastive, L2", "contrastive", {"unit_length": False}),
    PanelEntry("Siamese, L1 and sigmoid", "siamese"),
)
MINING = ("all", "semi_hard", "hard")
ALPHAS = (0.02, 0.2, 1.0, 3.0)  # neighbours of ten classes on a circle are 36 degrees apart, a squared distance of 0.38
TRIPLETS = tuple(
    PanelEntry(f"{mining.replace('_', '-')}, α = {alpha:g}", "triplet", {"mining": mining, "margin": alpha}) for mining in MINING for alpha in ALPHAS
)
ARCCOS = (
    PanelEntry("as written", "arcface_naive", {"margin": 0.3, **TEN}),
    PanelEntry("own gradient", "arcface_clipped_gradient", {"margin": 0.3, "clamp": False, **TEN}),
    PanelEntry("own gradient, clamped", "arcface_clipped_gradient", {"margin": 0.3, **TEN}),
)
