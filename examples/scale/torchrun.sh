#!/usr/bin/env bash
# Calibrates a model with one process of torchrun for each shard, and quantizes it.
#
#   torchrun.sh MODEL CALIB FOLDER [OPTIONS OF intact8 calibrate THAT FEED DATA]
#
# TORCHRUN_FLAGS are those of torchrun: --nproc-per-node, and for several nodes --nnodes and --rdzv-endpoint. With several nodes,
# MODEL, CALIB and FOLDER lie where all of them reach them, and each node runs the loop's torchrun; merge on one of them.
set -euo pipefail
model=$1 calib=$2 folder=$3
shift 3
mkdir -p "$folder"
state="$folder/all.stats"

next=$(intact8 calibrate "$model" --calib "$calib" "$@" --choices -o "$state" | tail -n 1)
while [ "$next" != complete ]; do
    echo "$next"
    rm -f "$folder"/part-*.stats
    # A process for each shard: RANK and WORLD_SIZE tell which. One that fails is started again by --max-restarts.
    # shellcheck disable=SC2086  # flags are words
    torchrun ${TORCHRUN_FLAGS:---nproc-per-node 2} --max-restarts 3 --no-python \
        bash -c 'folder=$0 && intact8 calibrate "$@" --shard auto -o "$folder/part-$RANK.stats"' \
        "$folder" "$model" --calib "$calib" "$@" --stats "$state"
    intact8 merge "$state" "$folder"/part-*.stats -o "$state"
    next=$(intact8 calibrate "$model" --calib "$calib" "$@" --stats "$state" --choices -o "$state" | tail -n 1)
done
intact8 quantize "$model" --calib "$calib" "$@" --calibration "$state" --no-eval -o "$folder/model"
