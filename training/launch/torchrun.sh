#!/usr/bin/env bash
# Train on all GPUs of this machine, or in PROCESSES processes on its CPU; the same command starts the run and goes on with it.
#   bash training/launch/torchrun.sh webface runs/webface [further arguments of `training train`]
# Several machines, on each: NODES=2 NODE_RANK=0 MASTER_ADDR=first-machine bash training/launch/torchrun.sh ...; the folder of the run is shared by all.
set -euo pipefail
recipe=${1:?"usage: torchrun.sh RECIPE FOLDER [ARGUMENTS]"}
out=${2:?"usage: torchrun.sh RECIPE FOLDER [ARGUMENTS]"}
shift 2
python=${PYTHON:-.venv/bin/python}
processes=${PROCESSES:-$("$python" -c 'import torch; print(max(1, torch.cuda.device_count()))')}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
place=(--standalone)
if [[ ${NODES:-1} -gt 1 ]]; then
  place=(--nnodes "$NODES" --node-rank "${NODE_RANK:?}" --master-addr "${MASTER_ADDR:?}" --master-port "${MASTER_PORT:-29500}")
fi
exec "$python" -m torch.distributed.run "${place[@]}" --nproc-per-node "$processes" -m training train "$recipe" --out "$out" --start-or-resume "$@"
