"""What the settings page calls each setting and each choice, in English; the German is in `device/web/messages/de/settings.toml`.

A setting that is not listed is called by its key, in words.
"""

from __future__ import annotations

from device.storage.settings import Setting
from device.web.messages import Messages

SECTIONS = {
    "attendance": "Attendance", "camera": "Camera", "web": "Web pages", "signals": "Door, lamp, buzzer", "decision": "Recognition", "liveness": "Liveness",
    "retention": "Retention", "export": "Exports",
    "quality": "Picture quality", "detector": "Face detector", "tracker": "Tracking", "embedder": "Embedding model",
}  # fmt: skip
WORDS = {
    "camera.width": "Picture width", "camera.height": "Picture height", "camera.rate": "Frame rate",
    "camera.stall_seconds": "No picture counts as a fault after", "camera.rotate": "Turn clockwise", "camera.mirror": "Mirror left to right",
    "detector.min_eye_distance": "Smallest face searched for", "detector.min_score": "Lowest face score", "detector.interval_ms": "Search interval",
    "detector.settled_ms": "Search interval once everybody is known",
    "tracker.max_lost_seconds": "A lost face is a new one after",
    "quality.min_eye_distance": "Smallest face used", "quality.min_sharpness": "Lowest sharpness", "quality.min_brightness": "Lowest brightness",
    "quality.max_brightness": "Highest brightness", "quality.min_contrast": "Lowest contrast", "quality.max_yaw": "Largest turn to the side",
    "quality.max_pitch": "Largest tilt up or down", "quality.max_roll_degrees": "Largest lean to a shoulder", "quality.min_score": "Lowest face score",
    "embedder.provider": "Computed by", "embedder.threads": "Processor threads", "embedder.change": "A new model takes over",
    "liveness.mode": "Liveness check", "liveness.model": "Liveness model", "liveness.sha256": "Checksum of the model file",
    "liveness.challenge": "Further proof", "liveness.challenge_seconds": "Time to turn the head",
    "decision.fpir": "False-positive identification rate (FPIR)", "decision.agree": "Fewest pictures", "decision.window": "Unknown after",
    "decision.at_least_templates": "Threshold for at least", "decision.min_lead": "Smallest lead",
    "decision.clear_miss": "Clearly unknown below the threshold by", "decision.interval_ms": "Picture interval",
    "decision.recheck_ms": "Picture interval once decided",
    "attendance.refractory_seconds": "Not again within", "attendance.direction": "Direction of a punch", "attendance.schedule": "Times of day",
    "attendance.ask_seconds": "Buttons wait for", "attendance.unanswered": "When no button was pressed", "attendance.alternate_reset_hours": "In again after",
    "export.csv_separator": "Columns of CSV", "export.csv_mark": "Mark CSV as UTF-8",
    "retention.sightings_days": "Counts of unknown faces", "retention.crops_days": "Enrolment pictures", "retention.punches_days": "Punches and corrections",
    "retention.erased_punches": "Punches of erased people", "retention.inactive_days": "Templates of inactive people",
    "web.idle_minutes": "Log out after idle", "web.longest_hours": "Log out at the latest after", "web.kiosk": "Kiosk page", "web.language": "Language",
    "web.picture_rate": "Rate of the live picture", "web.hosts": "Further host names", "web.password_words": "Words not allowed in passwords",
    "signals.chip": "GPIO chip", "signals.door": "Line of the door", "signals.door_ms": "Door open for", "signals.lamp": "Line of the lamp",
    "signals.lamp_ms": "Lamp lit for", "signals.buzzer": "Line of the buzzer", "signals.buzzer_ms": "Buzzer sounds for",
    "signals.refused_ms": "Signal of a refused attempt", "signals.active_low": "Relays switch on at 0 V",
}  # fmt: skip
CHOICES = {
    "attendance.direction": {"alternate": "by turns", "in": "always in", "out": "always out", "schedule": "by the time of day", "asked": "by a button"},
    "attendance.unanswered": {"auto": "record it without a direction", "none": "record nothing"},
    "embedder.change": {"made": "once kept pictures are done", "everybody": "once everybody has templates"},
    "embedder.provider": {"auto": "the fastest there is", "tensorrt": "TensorRT", "cuda": "CUDA", "cpu": "the processor"},
    "export.csv_separator": {"auto": "by the language", "comma": "comma", "semicolon": "semicolon", "tab": "tab"},
    "liveness.challenge": {"none": "none", "turn": "turn the head"},
    "liveness.mode": {"enforce": "record only living faces", "observe": "only note the score", "off": "off"},
    "retention.erased_punches": {"keep": "keep under a pseudonym", "remove": "remove"},
    "web.kiosk": {"local": "on this machine only", "anywhere": "in the whole network"},
    "web.language": {"en": "English", "de": "Deutsch", "es": "Español", "fr": "Français", "tr": "Türkçe", "ar": "العربية", "zh": "中文"},
}
SWITCH = {"true": "yes", "false": "no"}  # keys of the texts
OF_THE_FORM = {"choice", "yes or no", "text", ""}  # units that say nothing beside the field
ENDINGS = ("_seconds", "_ms", "_minutes", "_hours", "_days", "_degrees")  # units in a key


class SettingWords:
    """The words of the page in one language."""

    def __init__(self, texts: Messages) -> None:
        self._texts = texts

    def section(self, name: str) -> str:
        return self._texts.of_code("setting_sections", SECTIONS.get(name, name.capitalize()), name)

    def called(self, setting: Setting) -> str:
        key = next((setting.key.removesuffix(ending) for ending in ENDINGS if setting.key.endswith(ending)), setting.key)
        return self._texts.of_code("setting_names", WORDS.get(setting.name, key.replace("_", " ").capitalize()), setting.name)

    def help(self, setting: Setting) -> str:
        return self._texts.of_code("setting_help", setting.help, setting.name)

    def choices(self, setting: Setting) -> list[tuple[str, str]]:
        """What may be chosen, with its words; empty where a value is typed."""
        values = setting.choices or (("true", "false") if setting.kind is bool else ())
        return [(value, self.shown(setting, value)) for value in values]

    def shown(self, setting: Setting, value: str) -> str:
        """A value as people say it, without its unit."""
        if setting.kind is bool:
            return self._texts.text(f"settings.{SWITCH[value]}") if value in SWITCH else value
        english = CHOICES.get(setting.name, {}).get(value, value.replace("_", " ") if setting.choices else value)
        return self._texts.of_code("setting_choices", english, f"{setting.name}.{value}") if setting.choices else english

    def written(self, setting: Setting, value: str) -> str:
        """A number with the decimal sign of the language: 0.5 is "0,5" in German."""
        return value.replace(".", self._texts.text("format.decimal")) if setting.kind is float else value

    def unit(self, setting: Setting) -> str:
        return "" if setting.unit in OF_THE_FORM else self._texts.of_code("setting_units", setting.unit)

    def facts(self, setting: Setting, default: str) -> list[str]:
        """Range and default, with the unit: "1 to 25 s", "default 5 s"."""
        of = f" {self.unit(setting)}" if setting.low is not None and self.unit(setting) else ""
        words = self.shown(setting, self.written(setting, default))
        said = self._texts.text("settings.default", value=f"{words}{of}") if words else self._texts.text("settings.default_empty")
        return [*self._range(setting, of), said]

    def _range(self, setting: Setting, unit: str) -> list[str]:
        if setting.low is None:
            return []
        low, _, high = self.written(setting, setting.allowed).partition(" to ")
        return [f"{self._texts.text('settings.range', low=low, high=high)}{unit}" if high else f"{low}{unit}"]
