"""The terminal: camera -> faces -> tracks -> embeddings -> decision -> punch -> log."""

import os

# OpenCV and FFmpeg print to stderr by themselves; what matters reaches people through our own errors.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
