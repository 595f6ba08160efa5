"""The terminal's flow, one page: frame -> faces -> tracks -> quality -> crop -> embedding -> search -> liveness -> decision -> punch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from device.attendance.planning import Planning
from device.attendance.policy import Asked, AttendancePolicy, NotRecorded
from device.config import Settings
from device.storage.punch_records import NotActive
from device.storage.records import Direction, LastPunch, Person, Punch, PunchDraft
from device.storage.store import Store
from device.system.clock import read_clock_state
from device.system.stopwatch import Stopwatch
from device.terminal.enrolled import EnrolledGallery
from device.terminal.liveness_gate import LivenessGate
from device.terminal.prompts import Question, Questions
from device.terminal.subject import Subject
from device.terminal.whereabouts import Whereabouts
from device.vision.camera.source import Frame
from device.vision.decision import Outcome
from device.vision.detector import Face
from device.vision.liveness import NOT_JUDGED, LivenessError
from device.vision.quality import NOT_UPRIGHT
from device.vision.recogniser import Recogniser, Sample
from device.vision.tracker import Track, Tracker
from device.vision.upright import Look
from device.vision.visit import InterruptedVisits, Visit

BROKEN_PICTURES = 5  # in a row without a score: the liveness model does not work
TURN_PATIENCE = 2.0  # s; a head that turns may be lost from view for so much longer


@dataclass(frozen=True)
class Scene:
    """People in one frame, and the punches recorded with it."""

    frame: Frame
    subjects: tuple[Subject, ...]
    punches: tuple[tuple[Person, Punch], ...]  # committed to disk
    refused: int = 0  # attempts that were refused with it


class Pipeline:
    """Processes frames into scenes and records punches.

    Args:
        recogniser: detector, quality gate and embedder.
        store: open database; a punch is on disk before it stands in a scene.
        device: name of this terminal in the log.
        recording: the frames are a recording. It is a visit of its own: punches from before it do not hold it back.
    """

    def __init__(
        self, settings: Settings, recogniser: Recogniser, store: Store, device: str, recording: bool = False, stopwatch: Stopwatch | None = None
    ) -> None:
        self.settings = settings
        self.recogniser = recogniser
        self.store = store
        self.device = device
        self.recording = recording
        self.stopwatch = stopwatch or Stopwatch()
        self.tracker = Tracker(settings.tracker)
        self.policy = AttendancePolicy(settings.attendance)
        self._planning = Planning(store)
        self.questions = Questions()
        self._subjects: dict[int, Subject] = {}  # by track id
        self._interrupted = InterruptedVisits()
        self._visits: dict[int, LastPunch] = {}  # by person id: punches of this run
        self._whereabouts = Whereabouts()
        self._without_score = 0  # pictures in a row to which the liveness model gave none
        self._recorded: list[tuple[Person, Punch]] = []  # on disk, but not yet in a scene because the store failed in between
        self._refused = 0  # attempts that are not in a scene yet
        self._searched = float("-inf")  # time of the last frame that was searched for faces
        self._shown: tuple[Subject, ...] = ()  # what it showed
        self._version = -1
        self._enrolled = EnrolledGallery(recogniser)
        self.reload()

    def process(self, frame: Frame) -> Scene:
        """One frame, top to bottom."""
        if 0 <= frame.time - self._searched < self._pause_ms() / 1000:
            return Scene(frame, self._shown, ())
        self._searched = frame.time
        with self.stopwatch("detect"):
            faces = self.recogniser.detector.detect(frame.image)
        with self.stopwatch("track"):
            subjects = [self._subject(track, frame.time) for track in self.tracker.update(faces, frame.time)]
        with self.stopwatch("quality"):
            for subject in subjects:
                self._keep_best(subject, frame)
        self._recognise([s for s in subjects if s.best and frame.time >= s.next_look], frame.time)
        for question in self.questions.settled(frame.time):
            self._settle(question, subjects)
        for subject in subjects:
            self._conclude(subject, frame.time)
            self._locate(subject, frame.time)
        self._forget(frame.time)
        self._shown = tuple(subjects)
        punches, self._recorded = tuple(self._recorded), []
        refused, self._refused = self._refused, 0
        return Scene(frame, self._shown, punches, refused)

    def searched(self, frame: Frame) -> bool:
        """Whether this frame was searched, not only shown."""
        return frame.time == self._searched

    @property
    def picture_in_view(self) -> bool:
        """Whether a picture of somebody enrolled, such as a poster, hangs in view."""
        return self._whereabouts.picture_in_view(self._searched)

    def _pause_ms(self) -> int:
        """Pause between two searched frames; it is shorter while a decision is open."""
        detector = self.settings.detector
        settled = bool(self._shown) and all(subject.settled for subject in self._shown)
        return max(detector.interval_ms, detector.settled_ms) if settled else detector.interval_ms

    def reload(self) -> None:
        """Read people and gallery again if any process has changed them, and at the start."""
        version = self.store.data_version()
        if version != self._version:
            self.gallery = self._enrolled.current(self.store)
            self.bar = self.recogniser.bar(len(self.gallery))
            self._people = {person.id: person for person in self.store.people(active_only=True)}
            self._version = version  # set last, so that a failed reading is repeated

    def recognise_with(self, recogniser: Recogniser) -> None:
        """Let another model recognise from the next frame on. Pictures that the former one embedded count no longer; what is recorded stays.

        Raises:
            ClockfaceError: its gallery cannot be read, or it has no threshold for so many people; the former one stays in force.
        """
        enrolled = EnrolledGallery(recogniser)
        gallery = enrolled.current(self.store)
        bar = recogniser.bar(len(gallery))
        self.recogniser, self._enrolled, self.gallery, self.bar = recogniser, enrolled, gallery, bar
        self._interrupted = InterruptedVisits()
        for subject in self._subjects.values():
            if subject.result is None:
                self._start_anew(subject)
            subject.visit = Visit(self.settings.decision)

    def _subject(self, track: Track, now: float) -> Subject:
        """The subject of a track; a new one if the track is new or may show another person now."""
        subject = self._subjects.get(track.id)
        if subject is None or subject.stretch != track.stretch:
            before = subject
            subject = self._subjects[track.id] = Subject(track, track.stretch, Visit(self.settings.decision), self._gate(), now, now)
            if before is not None:
                self._leave(before, now)
                subject.attempts = before.attempts
        return subject

    def _gate(self) -> LivenessGate:
        model = self.recogniser.liveness if self.settings.liveness.mode != "off" else None
        return LivenessGate(self.settings, model.card if model else None)

    def _keep_best(self, subject: Subject, frame: Frame) -> None:
        """Assess the crop of this frame and keep the better one; only the best of each interval, or of the last one before a later look, is embedded."""
        if subject.settled and frame.time < subject.next_look - self._pause_ms() / 1000:
            return
        sample = self.recogniser.quick(frame.image, subject.track.face)
        withheld = subject.look is not None and subject.look.turn != 0
        subject.quality = replace(sample.quality, reasons=(*sample.quality.reasons, NOT_UPRIGHT)) if withheld else sample.quality
        if subject.gate.turn is not None:
            subject.gate.turn.see(sample.quality.yaw, frame.time)
        if sample.quality.acceptable and (subject.best is None or sample.quality.score > subject.best[0].quality.score):
            subject.best = sample, frame.image

    def _recognise(self, due: Sequence[Subject], now: float) -> None:
        """Take the best crops into the visits of their subjects, and judge whether they show a living face."""
        pictures = [(subject, subject.best[1], subject.best[0].face) for subject in due if subject.best]
        for subject in due:
            subject.best = None  # even if a part fails below, no picture is taken twice
        with self.stopwatch("refine"):
            looks = [(subject, image, self.recogniser.sample(image, face, subject.upright)) for subject, image, face in pictures]
        for subject, _, sample in looks:
            subject.look = subject.look if sample.turn is None else Look(sample.turn, sample.face.box, now, sample.face.score)
        usable = [look for look in looks if look[2].quality.acceptable]
        if usable:
            self.reload()
            with self.stopwatch("embed"):
                embeddings = self.recogniser.embed([sample for _, _, sample in usable])
            for (subject, image, sample), embedding in zip(usable, embeddings, strict=True):
                self._look(subject, sample, embedding, now)
                self._judge(subject, sample, image)
        for subject in due:
            settings = self.settings.decision
            pause_ms = settings.recheck_ms if subject.settled and not subject.visit.doubtful else settings.interval_ms
            subject.next_look = now + pause_ms / 1000

    def _look(self, subject: Subject, sample: Sample, embedding: NDArray[np.float32], now: float) -> None:
        """Take one picture into the visit; a subject who was known and now looks like somebody else starts anew."""
        if not subject.outcome.pictures:
            subject.visit = self._interrupted.resumed(embedding, now, self.bar) or subject.visit
        faces = subject.visit.faces
        with self.stopwatch("search"):
            subject.outcome = subject.visit.look(embedding, sample.quality.score, now, self.gallery.search, self.bar)
        if subject.visit.faces != faces:
            subject.gate = self._gate()
        if subject.person is not None and subject.outcome.person_id != subject.person.id:
            subject.person, subject.result = None, None
        if subject.person is not None and subject.recorded and self._comes_nearer(subject.person, sample.face, now):
            subject.person, subject.result, subject.gate = None, None, self._gate()

    def _judge(self, subject: Subject, sample: Sample, image: NDArray[np.uint8]) -> None:
        """Judge whether a picture of the visit's face, with its surroundings, shows a living one.

        Raises:
            LivenessError: the model gives no scores.
        """
        if subject.visit.doubtful:  # it may show another face than the one that is recognised
            return
        subject.gate.turned_back(sample.quality.yaw)
        if self.recogniser.liveness is None or not subject.judged:
            return
        with self.stopwatch("liveness"):
            judgement = self.recogniser.liveness.judge(image, sample.face)
        subject.gate.add(judgement)
        self._without_score = self._without_score + (judgement == NOT_JUDGED) if judgement.score is None else 0
        if self._without_score >= BROKEN_PICTURES:
            self._without_score = 0
            raise LivenessError("the liveness model gives no score; check it with `python -m device doctor`", code="liveness.no_score")

    def _comes_nearer(self, person: Person, face: Face, now: float) -> bool:
        """Whether somebody who was recorded, stayed in view and now comes to the terminal may be recorded again."""
        nearer = self._whereabouts.nearer(person.id, face.eye_distance, now)
        return nearer and not isinstance(self.policy.decide(self._last_punch(person.id, now), now), NotRecorded)

    def _leave(self, subject: Subject, now: float) -> None:
        if subject.outcome.pictures and subject.outcome.state != "known":
            self._interrupted.add(subject.visit, now)

    def _conclude(self, subject: Subject, now: float) -> None:
        """Record a known person once per visit, count an unknown one. If the store fails, the next frame retries."""
        outcome = subject.outcome
        if outcome.state == "unknown" and not subject.visit.counted:
            self.store.add_sighting(now, 1, outcome.score)
            subject.visit.counted = True
        if outcome.person_id is None or subject.result is not None:
            return
        person = self._people.get(outcome.person_id)
        if person is None:
            self._start_anew(subject)
            return
        last_seen = self._whereabouts.last_seen(person.id, subject.track.face, subject.since, now)
        decided = self.policy.decide(self._last_punch(person.id, now), now, last_seen, partial(self._planning.windows, person.id))
        asked = self.questions.asks(person.id)
        if isinstance(decided, NotRecorded) and not asked:
            subject.person, subject.result = (person, decided) if subject.gate.live else (None, None)
        elif not subject.gate.passes(now):
            self._refuse(subject, person, now)
        else:
            subject.person = person
            if not asked and not isinstance(decided, NotRecorded):
                self._punch(subject, person, decided, now)

    def _punch(self, subject: Subject, person: Person, decided: Direction | Asked, now: float) -> None:
        """Record a person, or ask for the direction first."""
        outcome = subject.outcome
        draft = PunchDraft(
            person_id=person.id,
            occurred_at=now,
            direction=decided.suggested if isinstance(decided, Asked) else decided,
            device=self.device,
            method="face",
            clock=read_clock_state(),
            score=outcome.score,
            lead=outcome.lead,
            threshold=outcome.threshold,
            liveness=subject.gate.score,
            model_id=self.recogniser.embedder.card.model_id,
        )
        if isinstance(decided, Asked):
            self.questions.ask(person, draft, now + self.settings.attendance.ask_seconds)
        else:
            self._record(person, draft, [subject])

    def _refuse(self, subject: Subject, person: Person, now: float) -> None:
        """Count the attempt of a face that would have been recorded; a picture that hangs there makes none."""
        reason = subject.gate.refusal(now)
        if reason is None or subject.picture:
            return
        if subject.attempts.due(now):
            self.store.add_refusal(now, reason, subject.gate.score, subject.gate.pictures)
            subject.attempts.counted(now)
            self._refused += 1
        if several := subject.attempts.alarm():
            self.store.add_refusal_alarm(now, several, self.device)
            subject.attempts.alarmed()

    def _locate(self, subject: Subject, now: float) -> None:
        """Note where a recognised face is: it may linger, or be a picture that hangs there."""
        person_id, gate = subject.outcome.person_id, subject.gate
        if person_id is not None:
            self._whereabouts.see(person_id, subject.track.face, now, subject.recorded, gate.state)
            subject.picture = self._whereabouts.is_picture(person_id, subject.track.face)
        subject.track.patience = TURN_PATIENCE if gate.turn is not None and gate.turn.open else 0.0

    def _settle(self, question: Question, subjects: Sequence[Subject]) -> None:
        """Record an answer with the time of recognition; the settings define what happens without an answer."""
        settings = self.settings.attendance
        concerned = [subject for subject in subjects if subject.person is not None and subject.person.id == question.person.id]
        if question.answer is None and settings.unanswered == "none":
            for subject in concerned:
                subject.result = NotRecorded("not recorded: nothing was chosen", question.until + settings.refractory_seconds)
        else:
            self._record(question.person, replace(question.draft, direction=question.answer or "auto"), concerned)
        self.questions.drop(question.person.id)

    def _record(self, person: Person, draft: PunchDraft, subjects: Sequence[Subject]) -> None:
        try:
            with self.stopwatch("punch"):
                punch = self.store.record_punch(draft)
        except NotActive:
            for subject in subjects:
                self._start_anew(subject)
            return
        for subject in subjects:
            subject.result = punch
        self._visits[person.id] = LastPunch(draft.occurred_at, draft.direction)
        self._recorded.append((person, punch))

    def _start_anew(self, subject: Subject) -> None:
        """Reset a subject whose person was deactivated or erased, maybe by another process, in the meantime."""
        subject.visit, subject.gate, subject.person = Visit(self.settings.decision), self._gate(), None
        subject.outcome = Outcome("undecided", "no good picture yet")

    def _last_punch(self, person_id: int, now: float) -> LastPunch | None:
        last = self.store.last_punch(person_id)
        if not self.recording or person_id in self._visits or last is None:
            return self._visits.get(person_id, last) if self.recording else last
        before = now - self.settings.attendance.refractory_seconds - 1.0
        return LastPunch(min(last.occurred_at, before), last.direction)

    def _forget(self, now: float) -> None:
        alive = {track.id for track in self.tracker.tracks}
        for key in set(self._subjects) - alive:
            self._leave(self._subjects.pop(key), now)
