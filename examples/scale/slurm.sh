#!/usr/bin/env bash
# Calibrates a model with a Slurm job array for each pass, and quantizes it.
#
#   slurm.sh MODEL CALIB N_SHARDS FOLDER [OPTIONS OF intact8 calibrate THAT FEED DATA]
#
# MODEL, CALIB and FOLDER lie where all nodes reach them. SBATCH_FLAGS are those of sbatch, such as "--partition=cpu --mem=4G".
set -euo pipefail
model=$1 calib=$2 n_shards=$3 folder=$4
shift 4
mkdir -p "$folder"
state="$folder/all.stats"

next=$(intact8 calibrate "$model" --calib "$calib" "$@" --choices -o "$state" | tail -n 1)
while [ "$next" != complete ]; do
    echo "$next"
    rm -f "$folder"/part-*.stats
    export model calib state folder
    printf -v feeding '%q ' "$@"
    # shellcheck disable=SC2086  # flags are words
    sbatch ${SBATCH_FLAGS:-} --wait --requeue --array="0-$((n_shards - 1))" --export=ALL --wrap \
        'intact8 calibrate "$model" --calib "$calib" '"$feeding"' --stats "$state" --shard auto \
            -o "$folder/part-$SLURM_ARRAY_TASK_ID.stats"'
    intact8 merge "$state" "$folder"/part-*.stats -o "$state"
    next=$(intact8 calibrate "$model" --calib "$calib" "$@" --stats "$state" --choices -o "$state" | tail -n 1)
done
intact8 quantize "$model" --calib "$calib" "$@" --calibration "$state" --no-eval -o "$folder/model"
