"""How often visits are right: FNIR and FPIR of several pictures against mean templates, and the same by single pictures and by votes.

Each person's photos are split at random into templates and a visit, several times; each clip of a person is a visit whose templates come from another
clip. Templates that do not agree with the person's others are left out, as at enrolment. A visit is searched in the gallery of everybody, and, as that of
somebody who is not enrolled, in the gallery without its person.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.config import DecisionSettings
from device.vision.decision import Bar, Decision, judge
from device.vision.embedder import Embedder
from device.vision.evaluation import TrialError
from device.vision.gallery import Gallery, Match
from device.vision.recogniser import Recogniser
from device.vision.same_person import agreeing
from device.vision.visit import NOVEL_SECONDS, Evidence
from device.vision.visit_looks import Looks, VisitPicture

ROUNDS = 10  # random splits of the photos
DRAWS = 400  # of the bootstrap over people
DRAWS_OF_TEMPLATES = 5  # somebody whose templates do not agree is enrolled with other photos
APART_SECONDS = 1.0  # between photos of a visit: each counts in full
VOTES = 3  # pictures that had to agree before visits were decided as a whole


@dataclass(frozen=True)
class Searched:
    """A visit and its search results, one per look."""

    who: int  # person id of whoever it is; -1: nobody of the gallery
    own: bool  # whether they were in the gallery that was searched
    times: tuple[float, ...]  # s since the first look
    weighed: tuple[float, ...]  # pictures so far
    means: tuple[Match | None, ...]  # of the mean so far, against mean templates
    singles: tuple[Match | None, ...]  # of the single picture, against the best template


@dataclass(frozen=True)
class Share:
    """A share with its 95 % interval by bootstrap over people; with no event, by the rule of three over people."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Rule:
    """Rates of one way to decide."""

    threshold: float
    fnir: Share
    fpir: Share
    seconds_to_decision: float | None  # median; None for photos, which have no time
    equal_fnir: Share  # at the threshold that lets through the wanted FPIR of these visits: for comparing ways, whatever the card says


@dataclass(frozen=True)
class VisitTrial:
    """What came of it."""

    people: int
    crops: int
    templates: int
    fpir_target: float
    left_out: int  # templates, of all that were drawn: they show somebody else than the person's others, or are damaged
    rules: dict[str, Rule]  # "visit"; "votes": three pictures agree, each against the best template; "single": the first picture alone

    def as_dict(self) -> dict[str, Any]:
        """The form of `trial --json`: each way to decide with the circumstances."""
        about = {"crops": self.crops, "templates": self.templates, "fpir_target": self.fpir_target, "people": self.people, "left_out": self.left_out}
        return {name: {**about, **asdict(rule)} for name, rule in self.rules.items()}


Naming = Callable[[Searched, float], tuple[int | None, int]]  # visit, threshold -> who is named, at which look


def searches(gallery: Gallery, each: Sequence[Gallery], who: int, looks: Sequence[VisitPicture]) -> list[Searched]:
    """One visit, searched as that of somebody enrolled and as that of somebody who is not; `each` has one template of everybody."""
    evidence, means, weighed = Evidence(), [], []
    for look in looks:
        evidence.add(look.embedding, look.quality, look.time)
        means.append(evidence.mean)
        weighed.append(evidence.weighed)
    times = tuple(look.time - looks[0].time for look in looks)
    rows = np.stack([look.embedding for look in looks])
    best = np.max([one.scores(rows) for one in each], axis=0)  # (looks, people)
    found = []
    for own in (True, False) if who >= 0 else (False,):
        without = None if own else who
        singles = tuple(_top(row, without) for row in best)
        found.append(Searched(who, own, times, tuple(weighed), tuple(gallery.search(mean, without) for mean in means), singles))
    return found


def _top(scores: NDArray[np.float32], without: int | None) -> Match | None:
    """The best of (N,) scores, people numbered from 0."""
    order = [int(person) for person in np.argsort(-scores)[:3] if person != without]
    if not order:
        return None
    return Match(order[0], float(scores[order[0]]), float(scores[order[0]] - scores[order[1]]) if len(order) > 1 else None)


def by_visit(bar: Bar, settings: DecisionSettings) -> Naming:
    """As the terminal decides, but for pictures that do not fit the others, which it sets aside."""

    def name(visit: Searched, threshold: float) -> tuple[int | None, int]:
        decision = Decision(replace(settings, agree=min(settings.agree, len(visit.means))))
        for look, (match, weighed) in enumerate(zip(visit.means, visit.weighed, strict=True)):
            outcome = decision.add(match, replace(bar, threshold=threshold), look + 1, weighed)
            if outcome.person_id is not None:
                return outcome.person_id, look
        return None, -1

    return name


def by_votes(settings: DecisionSettings) -> Naming:
    """As it was decided before: three of the latest pictures agree, each against the best template, and none names somebody else."""

    def name(visit: Searched, threshold: float) -> tuple[int | None, int]:
        votes = [judge(match, threshold, settings.min_lead).person_id for match in visit.singles]
        for look in range(len(votes)):
            named = [vote for vote in votes[max(0, look + 1 - settings.window) : look + 1] if vote is not None]
            if len(named) >= min(VOTES, len(votes)) and len(set(named)) == 1:
                return named[0], look
        return None, -1

    return name


def by_single(settings: DecisionSettings) -> Naming:
    """The first picture alone."""
    return lambda visit, threshold: (judge(visit.means[0], threshold, settings.min_lead).person_id, 0)


def rule(name: Naming, visits: Sequence[Searched], threshold: float, fpir: float, timed: bool) -> Rule:
    """The rates of one way to decide."""
    mated, foreign = [visit for visit in visits if visit.own], [visit for visit in visits if not visit.own]

    def missed(at: float) -> Share:
        return share([(visit.who, name(visit, at)[0] != visit.who) for visit in mated])

    def accepted(at: float) -> Share:
        return share([(visit.who, name(visit, at)[0] is not None) for visit in foreign])

    found = [(visit, name(visit, threshold)) for visit in mated]
    seconds = [visit.times[look] for visit, (person, look) in found if person == visit.who]
    low, high = -1.0, 1.01
    for _ in range(14):  # the FPIR falls as the threshold rises
        middle = (low + high) / 2
        low, high = (low, middle) if accepted(middle).value <= fpir else (middle, high)
    return Rule(threshold, missed(threshold), accepted(threshold), float(np.median(seconds)) if timed and seconds else None, missed(high))


def share(events: Sequence[tuple[int, bool]], seed: int = 0) -> Share:
    """A share of (person, event) pairs; events of one person are not independent."""
    people, rows = np.unique([person for person, _ in events], return_inverse=True)
    return pooled(np.bincount(rows, [event for _, event in events], len(people)), np.bincount(rows, minlength=len(people)), seed)


def pooled(events: NDArray[Any], trials: NDArray[Any], seed: int = 0) -> Share:
    """A share from the events and the trials of each person, (P,) and (P,); people without trials do not count."""
    events, trials = events[trials > 0], trials[trials > 0]
    value, people = float(events.sum() / trials.sum()), len(trials)
    if events.sum() == 0:
        return Share(0.0, 0.0, min(1.0, 3 / people), int(trials.sum()))
    drawn = np.random.default_rng(seed).integers(0, people, (DRAWS, people))
    low, high = np.percentile(events[drawn].sum(axis=1) / trials[drawn].sum(axis=1), [2.5, 97.5])
    return Share(value, float(low), float(high), int(trials.sum()))


class Splits:
    """People's looks, split into templates and visits.

    Args:
        recogniser: the device's own.
        crops: photos of a visit; a clip gives as many pictures as it has.
        templates: per person.
    """

    def __init__(self, recogniser: Recogniser, crops: int, templates: int, seed: int = 0) -> None:
        self.recogniser, self.crops, self.templates = recogniser, crops, templates
        self._random = np.random.default_rng(seed)
        self._same = recogniser.same_person()
        self.left_out = 0  # templates

    def photos(self, people: Sequence[Sequence[VisitPicture]], strangers: Sequence[Sequence[VisitPicture]]) -> list[Searched]:
        """Random splits of each person's photos, and visits of strangers."""
        found = []
        for number in range(ROUNDS):
            split = [self._split(looks) for looks in people]
            gallery, each = galleries(self.recogniser.embedder, [kept for kept, _ in split])
            visits = [(who, looks) for who, (_, looks) in enumerate(split)]
            visits += [(-1 - place, list(looks[: self.crops])) for place, looks in enumerate(strangers)] if number == 0 else []
            found += [search for who, looks in visits for search in searches(gallery, each, who, _spread(looks))]
        return found

    def clips(self, people: Sequence[Sequence[Sequence[VisitPicture]]]) -> list[Searched]:
        """Everybody is enrolled from each of their clips in turn; the others are visits, and all are visits of somebody who is not enrolled."""
        found = []
        for turn in range(max(len(clips) for clips in people)):
            chosen = [turn % len(clips) for clips in people]
            gallery, each = galleries(self.recogniser.embedder, [self._filmed(clips[own]) for clips, own in zip(people, chosen, strict=True)])
            for who, clips in enumerate(people):
                for number, looks in enumerate(clips):
                    found += [visit for visit in searches(gallery, each, who, looks) if number != chosen[who] or not visit.own]
        return found

    def _split(self, looks: Sequence[VisitPicture]) -> tuple[list[VisitPicture], list[VisitPicture]]:
        for _ in range(DRAWS_OF_TEMPLATES):
            order = self._random.permutation(len(looks))
            templates, visit = [looks[i] for i in order[: self.templates]], [looks[i] for i in order[self.templates :][: self.crops]]
            if kept := self._agreeing(templates):
                return kept, visit
        return templates, visit  # nobody can tell which of them show the person

    def _filmed(self, looks: Sequence[VisitPicture]) -> list[VisitPicture]:
        templates = spread_out(looks, self.templates)
        return self._agreeing(templates) or templates

    def _agreeing(self, templates: Sequence[VisitPicture]) -> list[VisitPicture]:
        """Those that enrolment would keep; none where it would ask for other pictures."""
        kept, _ = agreeing(np.stack([look.embedding for look in templates]), self._same)
        self.left_out += int(kept.any()) * int((~kept).sum())
        return [look for look, keep in zip(templates, kept, strict=True) if keep]


def galleries(embedder: Embedder, templates: Sequence[Sequence[VisitPicture]]) -> tuple[Gallery, list[Gallery]]:
    """Of people numbered from 0: the gallery of their means, and one for each number of a template; who has fewer has their last one again."""
    card = embedder.card

    def gallery(rows: Sequence[tuple[int, VisitPicture]]) -> Gallery:
        made = Gallery(card.model_id, card.embedding_size, embedder.cohort)
        made.add(np.array([who for who, _ in rows], np.int64), np.stack([look.embedding for _, look in rows]), card.model_id)
        return made

    most = max(len(looks) for looks in templates)
    numbered = [[(who, looks[min(number, len(looks) - 1)]) for who, looks in enumerate(templates)] for number in range(most)]
    return gallery([(who, look) for who, looks in enumerate(templates) for look in looks]), [gallery(rows) for rows in numbered]


def run_visits(recogniser: Recogniser, looks: Looks, crops: int, templates: int) -> VisitTrial:
    """Run it.

    Args:
        looks: of this recogniser.
        crops: photos of a visit.
        templates: per person.

    Raises:
        TrialError: too few people with enough usable photos or clips.
    """
    enough, filmed = [own for own in looks.photos if len(own) > templates], [own for own in looks.clips if own]
    several = len(filmed) > 1 and any(len(own) > 1 for own in filmed)
    if len(enough) < 2 and not several:
        words = f"{len(enough)} people with more than {templates} usable photos, {len(filmed)} with clips"
        raise TrialError(f"{looks.folder}: {words}; two are needed, one of them with two clips", code="trial.too_few")
    splits = Splits(recogniser, crops, templates)
    visits = splits.photos(enough, looks.strangers) if len(enough) > 1 else []
    visits += splits.clips(filmed) if several else []
    people, decision = max(len(enough), len(filmed)), recogniser.settings.decision
    bar = recogniser.bar(people)
    ways = {"visit": by_visit(bar, decision), "votes": by_votes(decision), "single": by_single(decision)}
    rules = {name: rule(way, visits, bar.threshold, decision.fpir, several and len(enough) < 2) for name, way in ways.items()}
    return VisitTrial(people, crops, templates, decision.fpir, splits.left_out, rules)


def spread_out(looks: Sequence[VisitPicture], most: int) -> list[VisitPicture]:
    """The best pictures that are some time apart, as enrolment takes them."""
    chosen: list[VisitPicture] = []
    for look in sorted(looks, key=lambda look: -look.quality):
        if len(chosen) < most and all(abs(look.time - other.time) >= NOVEL_SECONDS for other in chosen):
            chosen.append(look)
    return chosen


def _spread(looks: Sequence[VisitPicture]) -> list[VisitPicture]:
    return [replace(look, time=number * APART_SECONDS) for number, look in enumerate(looks)]
