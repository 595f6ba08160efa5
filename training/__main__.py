"""`python -m training COMMAND`: each command is one module in `training/`."""

from __future__ import annotations

import sys

from training import command_line

MODULES = {"export-weights": "export_weights", "partial_fc": "partial_fc_cost", "shards": "write_shards"}  # command -> its module, where the two names differ
OLD_NAMES = {"ship": "export-weights"}  # earlier name, which still works -> the command
COMMANDS = {  # name -> one line; the module has add_arguments(parser) and run(args) -> exit code
    "prepare": "cut aligned crops out of folders of photos",
    "shards": "write crops into shards for object storage, or their index",
    "pack": "pack the crops and embeddings of a recipe into a small folder",
    "join": "join two teachers into one, in the embedding space of the second",
    "train": "train an embedding model by a recipe",
    "runs": "list the runs of a folder, their state and how to go on",
    "report": "write the report of a run, one page for a browser",
    "prune": "prune trained weights to a smaller backbone",
    "export-weights": "write only the weights and the recipe of a checkpoint",
    "liveness": "fine-tune the liveness nets on recordings of your own",
    "evaluate": "measure a model on pairs, galleries and groups",
    "benchmark": "measure models on LFW, CFP-FP, AgeDB, IJB-C, in the tables of papers",
    "visualize": "plot what each loss does to embeddings of digits in two dimensions",
    "partial_fc": "time a step over all classes and over a sample; memory and traffic of ranks",
    "speed": "measure the speed of augmentation, the loop and the backbones",
}


def current_name(word: str) -> str:
    """The command of this name; that a name is an earlier one is said on stderr."""
    if word not in OLD_NAMES:
        return word
    print(f"note: `{word}` is now `{OLD_NAMES[word]}`; the earlier name still works", file=sys.stderr)
    return OLD_NAMES[word]


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    argv = [*map(current_name, argv[:1]), *argv[1:]]
    return command_line.run("training", "From photos to an embedding model.", COMMANDS, MODULES, argv)


if __name__ == "__main__":
    sys.exit(main())
