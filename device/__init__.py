"""The terminal: camera -> faces -> tracks -> embeddings -> decision -> punch -> log."""
