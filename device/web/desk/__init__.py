"""The review site: people, attendance, corrections, exports, health, settings."""
