"""The ways frames come in; `device.camera.open_source` chooses one by the source's name."""
