"""What the page says: two sentences for each dial of the panel and for each picture, by title and by file name."""

from __future__ import annotations

DIALS = {
    "Softmax": "Straight borders separate the classes, and nothing more is asked. Each class fills its whole sector.",
    "Softmax, no bias": "Without the bias every border goes through the origin, so the angle alone decides. The sectors stay as wide.",
    "Softmax twice": "The second softmax makes every gradient smaller, most of all for images that are entirely wrong. Training is slower.",
    "Center": "Each class is drawn to a centre of its own. Two centres may lie in one direction: far apart by distance, alike by angle.",
    "Center, squared": "The published form, with squared distances. Distant images are drawn harder, near ones hardly.",
    "Contrastive": "Pairs of one class are drawn together, others are pushed apart up to a margin. No class is needed, only pairs.",
    "Siamese, L1": "A sigmoid of the L1 distance says whether two images match. Classes lie as islands in the plane, several in one direction.",
    "Triplet, all": "Nearer to the own class than to any other, by a margin. Most triplets of a batch soon have no loss.",
    "Triplet, semi-hard": "Only negatives inside the margin are used. Fewer triplets, each of which still teaches something.",
    "Triplet, hard": "The hardest triplets alone, from a random start: everything falls onto one point. There the loss stays at the margin.",
    "A-Softmax": "The angle to the own class counts four times. It starts as softmax and takes over slowly, hence the mild effect.",
    "ArcFace, naive": "arccos as the formula has it: its derivative is infinite where an image lies on its class. Training ends with NaN.",
    "ArcFace, own gradient": "arccos with a bounded derivative of one's own. NaN comes later, since rounding still gives cosines above 1.",
    "ArcFace, clipped gradient": "The bounded derivative, and the cosine clamped as well. Both together are enough: training goes on.",
    "ArcFace, cos / 10": "Divided by ten, the cosine stays where arccos is almost a straight line. What remains is cos θ - 1.",
    "cos / 10, softmax twice": "The same behind a second softmax, which hardly weighs hopeless images. Here the combination trains well.",
    "ArcFace": "The angle to the own class counts 0.3 larger. Narrow spikes with gaps between them, and no NaN: the form to train with.",
    "ArcFace, straight-through": "The margin acts in the value alone; the gradient is that of the plain cosine. This is the form of InsightFace today.",
    "CosFace": "The margin is subtracted from the cosine. No arccos, so no singular point, and much the same picture.",
    "cos - 1": "CosFace with a margin of 1, far too large for ten classes. The classes are narrow, and some of them may coincide.",
    "Sub-center ArcFace": "Each class has two directions and takes the nearer. Meant for wrong labels, of which digits have hardly any.",
    "AdaFace": "The margin follows the length of the embedding, an estimate of quality. On clean digits that is no advantage.",
}
PICTURES = {
    "panel.png": "All losses at the end of training, seed 0, test images. Another seed gives other pictures: the table says how much.",
    "training.gif": "Six of them while they train, closer together at first, when most changes. ArcFace with arccos stops where its gradient is NaN.",
    "center_lambda.png": "From λ = 0, which is softmax, to λ = 1. The classes shrink, and with a large λ they also move together.",
    "pairs.png": "Left at unit length; middle and right without normalisation, by L2 and by L1. There classes lie as islands, several in one direction.",
    "triplet_dials.png": "α = 1 is met by six points 60° apart, α = 3 by three points 120° apart. The hardest triplets alone put all classes onto one.",
    "triplet_alpha.png": "Left: how much of the loss is left when every triplet counts. Right: in how many seeds the classes fell onto one point or a few.",
    "active_triplets.png": "Most triplets soon have no loss. In a set of a million faces the few that still do must be searched for.",
    "margins.png": "x is θ₁ from its class and counts as the dashed line. Below: the gap grows with the angle between the classes, stays, or shrinks.",
    "target_logits.png": "The logit of the own class and its slope, from the code that trains. The curves of cos / 10 and cos - 1 are one.",
    "ranking.png": "At unit length distance and cosine give the same ranks. Without normalisation the length has an influence.",
    "nan_steps.png": "Twenty seeds each: a gradient of one's own only delays NaN. With the cosine clamped as well, all of them reach the end.",
    "softmax_twice.png": "The loss stays high, but a constant does not train anything. The gradient is smaller everywhere and vanishes for hopeless images.",
}
