"""Further calendars of holidays, beside the site's own in `holidays`, and whose they are."""

CALENDARS = """
CREATE TABLE calendar_days (
    calendar TEXT NOT NULL,  -- its name
    day TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (calendar, day)
) STRICT;
CREATE TABLE plan_calendars (plan_id INTEGER PRIMARY KEY REFERENCES plans (id), calendar TEXT NOT NULL) STRICT;  -- '': the site's own
CREATE TABLE person_calendars (person_id INTEGER PRIMARY KEY REFERENCES people (id), calendar TEXT NOT NULL) STRICT;  -- '': of the plan, or the site's own
"""

LOCKED = {  # as of the site's own calendar; who has which one is frozen with the sheets of a locked period
    ("calendar_days", "INSERT"): "NEW.day BETWEEN l.first_day AND l.last_day",
    ("calendar_days", "UPDATE"): "OLD.day BETWEEN l.first_day AND l.last_day OR NEW.day BETWEEN l.first_day AND l.last_day",
    ("calendar_days", "DELETE"): "OLD.day BETWEEN l.first_day AND l.last_day",
}
