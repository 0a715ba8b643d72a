#!/usr/bin/env bash
# Calibrates a model with an indexed job of Kubernetes for each pass, and quantizes it.
#
#   kubernetes.sh FOLDER N_SHARDS IMAGE CLAIM
#
# FOLDER is the volume of the claim as this machine mounts it, with model.onnx and calib.npz.
set -euo pipefail
folder=$1 n_shards=$2 image=$3 claim=$4
model="$folder/model.onnx" calib="$folder/calib.npz" state="$folder/all.stats"
manifest=$(dirname "$0")/kubernetes.yaml

next=$(intact8 calibrate "$model" --calib "$calib" --choices -o "$state" | tail -n 1)
pass=1
while [ "$next" != complete ]; do
    echo "$next"
    rm -f "$folder"/part-*.stats
    sed -e "s|PASS|$pass|; s|N_SHARDS|$n_shards|; s|IMAGE|$image|; s|CLAIM|$claim|" "$manifest" | kubectl apply -f -
    kubectl wait --for=condition=complete --timeout=24h "job/intact8-pass-$pass"
    intact8 merge "$state" "$folder"/part-*.stats -o "$state"
    next=$(intact8 calibrate "$model" --calib "$calib" --stats "$state" --choices -o "$state" | tail -n 1)
    pass=$((pass + 1))
done
intact8 quantize "$model" --calib "$calib" --calibration "$state" --no-eval -o "$folder/model"
