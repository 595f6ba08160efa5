"""The workstation: photos -> aligned crops -> a trained ArcFace embedding model."""
