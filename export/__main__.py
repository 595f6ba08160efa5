"""`python -m export COMMAND`: each command is one module in `export/`."""

from __future__ import annotations

import sys

from training import command_line

MODULES = {  # command -> its module, where the two names differ
    "adopt-liveness": "adopt_liveness",
    "check-release": "release_check",
    "elsewhere": "parity",
    "plain": "strip_initializers",
}
COMMANDS = {  # name -> one line; the module has add_arguments(parser) and run(args) -> exit code
    "model": "all steps by a recipe: weights -> verified, calibrated files",
    "build": "trained weights -> one float32 file under the contract",
    "quantize": "float32 -> int8 or float16",
    "qat": "quantization-aware training, where quantizing alone loses too much",
    "adopt": "convert a published 112 x 112 embedder to the contract",
    "adopt-liveness": "convert published MiniFASNets to one liveness model",
    "verify": "check accuracy, agreement, size and latency; write them into the card",
    "latency": "compare the milliseconds per crop of several models in one run",
    "table": "compare time, size and accuracy of several models in one table",
    "elsewhere": "check that another Python, runtime or board gives the same embeddings",
    "calibrate": "set thresholds from non-mated scores; write them into the card",
    "search": "measure FNIR and FPIR of the whole device; write them into the card",
    "gain": "compare a tuned model with the one before, on people it was not tuned on",
    "groups": "compare the false matches of groups, with the cohort and without",
    "conditions": "measure which light, camera or covering makes a model miss people",
    "quality": "measure which quality of a crop foretells its score",
    "image": "base image + bundle + settings -> one file for the card of a board",
    "flash": "write such a file to a card and compare",
    "card": "print a model card, or write it as a page with pictures",
    "keygen": "make a key pair to sign bundles with",
    "bundle": "write one signed file with everything a device needs",
    "wheels": "pin the wheels that boards need",
    "sbom": "write the bill of materials of a board (CycloneDX)",
    "vulnerabilities": "look the pinned packages up among known vulnerabilities",
    "release": "write a signed release of this project",
    "check-release": "verify a release before it is used",
    "plain": "remove the weights from a model's inputs, for OpenCV's own classes",
    "yunet": "arrange OpenCV's face detector so that onnxruntime runs it fast",
    "patch": "write a patch from one model file to another",
}


def main(argv: list[str] | None = None) -> int:
    return command_line.run("export", "Weights -> one self-describing ONNX file.", COMMANDS, MODULES, sys.argv[1:] if argv is None else argv)


if __name__ == "__main__":
    sys.exit(main())
