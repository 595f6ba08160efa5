"""Keeping a terminal healthy: doctor, backup, retention, clock repair, updates."""
