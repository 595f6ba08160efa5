"""What `python -m device bench` measures, and with which data."""
