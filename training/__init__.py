"""Training on a workstation: photos -> aligned crops -> a trained embedding model."""
