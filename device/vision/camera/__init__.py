"""Sources of frames; `device.vision.camera.source.open_source` chooses one by its name."""
