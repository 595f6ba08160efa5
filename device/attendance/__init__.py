"""From punches to hours: policy, plans, shifts, timesheets, today, log."""
