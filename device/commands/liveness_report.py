"""What `liveness-trial` prints: each presentation, the error rates with their intervals, by source, and by single pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from device.contract import LivenessCard
from device.vision.error_rates import ErrorRate
from device.vision.liveness_trial import Presented, TrialRates, by_pictures, by_source

SCORE = "score: the highest median of all pictures up to any moment, which is what opens the gate; median: of all pictures"
ALIKE = "each picture by itself: pictures of one clip are alike, so there are no intervals"


def report(card: LivenessCard, presented: Sequence[Presented]) -> list[str]:
    """All lines, in the order of reading."""
    shown = [f"{card.name} {card.model_id[:12]}: accepted where the median of at least {card.pictures} pictures exceeds {card.threshold:g}", ""]
    rows = [(f.file.name, f.file.species, str(len(f.scores)), _score(f.score), _score(f.median), outcome(f)) for f in presented]
    shown += aligned([("file", "species", "pictures", "score", "median", "outcome"), *rows])
    shown += [SCORE, "", *rate_lines(TrialRates.of(presented))]
    if stills := sum(found.file.still for found in presented):
        shown.append(f"{stills} of {len(presented)} presentations are stills, judged by one picture each; the terminal asks for {card.pictures}")
    if sources := by_source(presented):
        rows_of_sources = [(name, *map(_counted, totals(rates))) for name, rates in sources.items()]
        shown += ["", *aligned([("source", "attacks accepted", "real refused", "not judged"), *rows_of_sources])]
    return [*shown, "", ALIKE, *rate_lines(by_pictures(presented, card.threshold or 0.0), intervals=False)]


def rate_lines(rates: TrialRates, intervals: bool = True) -> list[str]:
    """APCER by species, the worst, BPCER, non-response and EER."""
    rows = [(f"APCER {name}", *_cells(rate, "accepted", intervals)) for name, rate in rates.apcer.items()]
    rows += [("BPCER", *_cells(rates.bpcer, "refused", intervals)), ("non-response", *_cells(rates.non_response, "not judged", intervals))]
    eer = "needs attacks and real faces" if rates.eer is None else f"{100 * rates.eer:.1f} %"
    return [*aligned(rows), f"worst species: {rates.worst_species or 'none was judged'}; EER: {eer}"]


def totals(rates: TrialRates) -> tuple[ErrorRate, ErrorRate, ErrorRate]:
    """Of all attacks together, of real faces, and of what was not judged."""
    attacks = ErrorRate(sum(rate.count for rate in rates.apcer.values()), sum(rate.n for rate in rates.apcer.values()))
    return attacks, rates.bpcer, rates.non_response


def _cells(rate: ErrorRate, what: str, interval: bool) -> tuple[str, ...]:
    if rate.value is None:
        return "nothing was judged", ""
    low, high = rate.interval
    return f"{100 * rate.value:.1f} %", f"{rate.count} of {rate.n} {what}", f"95 % interval {100 * low:.1f} to {100 * high:.1f} %" if interval else ""


def _counted(rate: ErrorRate) -> str:
    return f"{rate.count} of {rate.n}" if rate.n else "-"


def outcome(found: Presented) -> str:
    if found.score is None:
        return f"not judged ({found.reason})"
    return "refused" if found.seconds is None else f"accepted after {found.seconds:.1f} s"


def _score(score: float | None) -> str:
    return "-" if score is None else f"{score:.3f}"


def aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows with their columns one below the other."""
    found = [list(row) for row in rows]
    widths = [max((len(row[column]) for row in found if column < len(row)), default=0) for column in range(max(map(len, found), default=0))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in found]
