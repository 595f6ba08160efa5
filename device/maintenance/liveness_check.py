"""The check of liveness: the mode in force, the model, and whether its card lets it be enforced."""

from __future__ import annotations

from dataclasses import replace

from device.config import LivenessSettings
from device.contract import LivenessCard
from device.maintenance.database_check import Finding

OFF = 'off: a photo of an enrolled person is recorded; set [liveness] mode = "enforce", or "observe" to see first who would be refused'
OBSERVED = 'observe: scores are written, but a photo of an enrolled person is recorded all the same; set [liveness] mode = "enforce" to refuse it'
NOT_YET = "; its card states no error rates, so it cannot be enforced yet (docs/liveness.md)"


def check_liveness(settings: LivenessSettings) -> Finding:
    """Whether a photo of an enrolled person is refused.

    Raises:
        ModelError, ContractError: the model is missing or breaks the contract.
        LivenessError: it is to be enforced, and its card states no threshold or no error rates.
    """
    if settings.mode == "off":
        return Finding("liveness", "warning", OFF)
    from device.vision.liveness import LivenessError, open_liveness  # here, so that a board whose onnxruntime does not load gets its report

    try:
        model, remark = open_liveness(replace(settings, mode="enforce")), ""
    except LivenessError:
        if settings.mode == "enforce":
            raise
        model, remark = open_liveness(settings), NOT_YET
    assert model is not None
    if settings.mode == "enforce":
        turn = f", and a turn of the head within {settings.challenge_seconds:g} s" if settings.challenge == "turn" else ""
        return Finding("liveness", "ok", f"enforce: {_described(model.card)}{turn}")
    return Finding("liveness", "warning", f"{OBSERVED} ({_described(model.card)}{remark})")


def _described(card: LivenessCard) -> str:
    bar = f"threshold {card.threshold:.2f} for the median of {card.pictures} pictures or more" if card.threshold is not None else "no threshold"
    return f"{card.name} {card.precision} {card.model_id[:12]}, {bar}"
