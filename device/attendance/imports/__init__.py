"""Moving in from another system: its people and its log."""
