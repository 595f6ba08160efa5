"""Releases: a signed bundle is verified, installed beside the others, tried, and kept or rolled back (docs/bundle.md)."""
