"""Launch files: their own validators accept them, their commands are ours, and the SLURM job goes into the queue again when a run was stopped."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from training import train
from training.stopping import EXIT_STOPPED
from training.watch import EXIT_LOST

LAUNCH = Path(__file__).parents[2] / "training" / "launch"
SCRIPTS = ("torchrun.sh", "slurm.sbatch")


def parsed(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    return parser.parse_args(words)


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize("name", SCRIPTS)
def test_bash_reads_the_script(name: str) -> None:
    assert subprocess.run(["bash", "-n", str(LAUNCH / name)], capture_output=True, text=True).stderr == ""


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing(name: str) -> None:
    assert subprocess.run(["shellcheck", "--shell=bash", str(LAUNCH / name)], capture_output=True, text=True).stdout == ""


@pytest.mark.parametrize(("code", "again"), [(EXIT_STOPPED, True), (EXIT_LOST, True), (0, False), (1, False)])
def test_slurm_starts_a_stopped_run_again(code: int, again: bool, tmp_path: Path) -> None:
    program(tmp_path, "srun", f'shift; export SLURM_PROCID=3 SLURM_NTASKS=16 SLURM_LOCALID=1 SLURM_NTASKS_PER_NODE=2; "$@"; exit {code}')
    program(tmp_path, "scontrol", f'if [ "$1" = show ]; then echo node-a; echo node-b; else echo "$@" >> {tmp_path}/requeued; fi')
    program(tmp_path, "python", 'echo "$RANK $WORLD_SIZE $LOCAL_RANK $LOCAL_WORLD_SIZE $MASTER_ADDR:$MASTER_PORT $*"')
    given = {"RECIPE": "a recipe", "OUT": "runs/x", "PYTHON": str(tmp_path / "python"), "SLURM_JOB_ID": "4711", "SLURM_JOB_NODELIST": "node-[a-b]"}
    found = subprocess.run(
        ["bash", str(LAUNCH / "slurm.sbatch")], env={**given, "PATH": f"{tmp_path}:{os.environ['PATH']}"}, capture_output=True, text=True
    )
    assert found.returncode == code
    assert found.stdout == "3 16 1 2 node-a:24711 -m training train a recipe --out runs/x --start-or-resume\n"
    assert (tmp_path / "requeued").exists() == again
    if again:
        assert (tmp_path / "requeued").read_text() == "requeue 4711\n"


def test_slurm_needs_to_know_what_to_train(tmp_path: Path) -> None:
    found = subprocess.run(["bash", str(LAUNCH / "slurm.sbatch")], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)
    assert found.returncode and "RECIPE" in found.stderr


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({}, "--standalone"),
        ({"NODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "node-a"}, "--nnodes 2 --node-rank 1 --master-addr node-a --master-port 29500"),
    ],
)
def test_torchrun_gets_the_arguments(given: dict[str, str], place: str, tmp_path: Path) -> None:
    program(tmp_path, "python", 'if [ "$1" = -c ]; then echo 4; else echo "$@"; fi')
    command = ["bash", str(LAUNCH / "torchrun.sh"), "webface", "runs/x", "--set", "schedule.epochs=3"]
    found = subprocess.run(command, env={"PATH": os.environ["PATH"], "PYTHON": str(tmp_path / "python"), **given}, capture_output=True, text=True, check=True)
    head, _, tail = found.stdout.partition(" -m training train ")
    assert head == f"-m torch.distributed.run {place} --nproc-per-node 4"
    args = parsed(tail.split())
    assert (args.recipe, str(args.out), args.start_or_resume, args.set) == ("webface", "runs/x", True, ["schedule.epochs=3"])


def job() -> dict:
    return yaml.safe_load((LAUNCH / "pytorchjob.yaml").read_text(encoding="utf-8"))


def test_the_pods_of_kubernetes_run_one_command() -> None:
    spec = job()["spec"]
    master, worker = (spec["pytorchReplicaSpecs"][name] for name in ("Master", "Worker"))
    assert master == worker and master["restartPolicy"] == "OnFailure"
    (container,) = master["template"]["spec"]["containers"]
    assert container["name"] == "pytorch"  # the operator looks for this name
    assert spec["nprocPerNode"] == str(container["resources"]["limits"]["nvidia.com/gpu"])
    assert container["args"][:3] == ["-m", "training", "train"]
    args = parsed(container["args"][3:])
    assert args.start_or_resume
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert {volume["name"] for volume in master["template"]["spec"]["volumes"]} == mounts.keys()
    assert str(args.out).startswith(mounts["runs"] + "/") and args.recipe.startswith(mounts["recipe"] + "/")


def test_kubernetes_accepts_the_pods() -> None:
    validator = pytest.importorskip("kubernetes_validate")
    pod = job()["spec"]["pytorchReplicaSpecs"]["Worker"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "worker"}, **pod}
    validator.validate(pod, validator.latest_version(), strict=True)


def test_the_exit_codes_stand_in_the_file() -> None:
    text = (LAUNCH / "slurm.sbatch").read_text(encoding="utf-8")
    assert sorted(map(int, re.findall(r"-eq (\d+)", text))) == [EXIT_STOPPED, EXIT_LOST]
