#!/bin/sh
# Segment a folder of images: sh predict.sh [INPUTS OUTPUTS [OPTION ...]]
# Without folders: /workspace/inputs -> /workspace/outputs (the challenge), else /inputs -> /outputs (docker run -v in:/inputs -v out:/outputs).
set -eu
program=$(dirname "$0")/predict.py

if [ $# -ge 2 ] && [ "${1#-}" = "$1" ] && [ "${2#-}" = "$2" ]; then
    inputs=$1 outputs=$2
    shift 2
elif [ "${1-}" = -h ] || [ "${1-}" = --help ] || [ "${1-}" = --version ]; then
    exec "${PYTHON:-python}" "$program" "$1"
elif [ -d /workspace/inputs ]; then
    inputs=/workspace/inputs outputs=/workspace/outputs
    set -- --challenge-names --overwrite "$@"
elif [ -d /inputs ]; then
    inputs=/inputs outputs=/outputs
else
    echo "error: no /workspace/inputs or /inputs here; give two folders: sh predict.sh INPUTS OUTPUTS" >&2
    exit 2
fi
exec "${PYTHON:-python}" "$program" -i "$inputs" -o "$outputs" "$@"
