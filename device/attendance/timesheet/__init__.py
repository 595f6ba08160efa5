"""From punches and corrections to hours: pure functions of explicit inputs, no clock, no database (docs/timesheets.md).

effective -> stays -> work day -> sheet. A moment is an int, minutes since the epoch in UTC, unless stated otherwise.
"""
