"""The terminal: camera -> faces -> tracks -> embeddings -> decision -> punch -> log."""

import os

# OpenCV and FFmpeg print to stderr by themselves; what matters reaches people through our own errors.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
# A picture file is refused by what its header says (`device/vision/images.py`); where OpenCV reads another size, its own limit holds.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "50000000")
# onnxruntime from 1.32 on collects usage data, keeps a device id in the home folder and sends both home. Nothing leaves the site.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
