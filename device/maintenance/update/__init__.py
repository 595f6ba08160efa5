"""Releases: a signed bundle is verified, installed beside the others, tried and kept or put back (docs/bundle.md)."""
