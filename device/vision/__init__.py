"""From a picture to who it shows: camera, detector, tracker, quality, embedder, gallery, decision, model files."""
