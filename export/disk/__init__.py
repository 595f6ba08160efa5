"""Disk images as files: partition tables and file systems inside them, read and changed without root (docs/image.md)."""
