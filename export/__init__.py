"""Export: trained weights -> one self-describing ONNX file that a board can trust."""
