"""Punches that come from another terminal's log: a method of their own."""

IMPORTS = """
CREATE INDEX punches_imported ON punches (person_id, occurred_at) WHERE method = 'imported';  -- for the last one of a person, which has no late id
"""

METHODS = {("punches", "method IN ('face', 'pin', 'manual')"): "method IN ('face', 'pin', 'manual', 'imported')"}  # for `doors.widen`
