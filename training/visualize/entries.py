"""The losses in the order in which the argument needs them, with the settings that suit ten classes in a plane."""

from __future__ import annotations

from training.visualize.study import Entry

TEN = {"scale": 10.0}  # 64 is for thousands of classes in hundreds of dimensions

ENTRIES = (
    Entry("Softmax", "softmax"),
    Entry("Softmax, no bias", "softmax", {"bias": False}),
    Entry("Softmax twice", "softmax_twice"),
    Entry("Center", "center"),
    Entry("Center, squared", "center_squared", {"center_weight": 0.1}),
    Entry("Contrastive", "contrastive"),
    Entry("Triplet, all", "triplet", {"mining": "all"}),
    Entry("Triplet, semi-hard", "triplet", {"mining": "semi_hard"}),
    Entry("Triplet, hard", "triplet", {"mining": "hard"}),
    Entry("A-Softmax", "a_softmax"),
    Entry("ArcFace, naive", "arcface_naive", {"margin": 0.3, **TEN}),
    Entry("ArcFace, clipped gradient", "arcface_clipped_gradient", {"margin": 0.3, **TEN}),
    Entry("ArcFace, cos / 10", "arcface_scaled", TEN),
    Entry("cos / 10, softmax twice", "softmax_twice", {"over": "arcface_scaled"}),
    Entry("ArcFace", "arcface", {"margin": 0.3, **TEN}),
    Entry("ArcFace, straight-through", "arcface_straight_through", {"margin": 0.3, **TEN}),
    Entry("CosFace", "cosface", {"margin": 0.15, **TEN}),
    Entry("cos - 1", "cosface", {"margin": 1.0, **TEN}),
    Entry("Sub-center ArcFace", "subcenter_arcface", {"subcenters": 2, "margin": 0.2, **TEN}),
    Entry("AdaFace", "adaface", {"margin": 0.15, **TEN}),
)
ANIMATED = ("Softmax", "Center", "Triplet, all", "ArcFace, naive", "ArcFace", "CosFace")
