"""From a picture to the person in it: camera, detector, tracker, quality, embedder, gallery, decision, model files."""
