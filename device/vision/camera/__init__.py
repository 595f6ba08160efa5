"""The ways frames come in; `device.vision.camera.source.open_source` chooses one by the source's name."""
