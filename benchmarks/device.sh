#!/usr/bin/env bash
# All measurements on one accelerator, in order of worth, each under a time limit of its own and in a process of its own:
#
#     benchmarks/device.sh [tiny|full] [FOLDER for the results] [FOLDER of pure wheels]
#
# It runs the checkout as it is, with the Python that is there: nothing is installed. What such a machine lacks of pure
# Python (tyro and what it needs) is read from wheels, which Python imports as they are:
#
#     pip download --no-deps --only-binary :all: --dest .wheels tyro docstring-parser typeguard
#
# Rehearse it on a CPU first: JAX_PLATFORMS=cpu benchmarks/device.sh tiny
set -uo pipefail
cd "$(dirname "$0")/.."
size="${1:-full}"
out="${2:-benchmarks/device}"
wheels="${3:-.wheels}"
python="${PYTHON:-python3}"
path="$PWD/src"
for wheel in "$wheels"/*.whl; do
  [ -e "$wheel" ] && path="$path:$PWD/$wheel"
done
export PYTHONPATH="$path" PYTHONUNBUFFERED=1
mkdir -p "$out"
# Stage and seconds: 9 minutes and a half in all.
while read -r stage limit; do
  began=$SECONDS
  timeout --signal=INT --kill-after=5 "$limit" "$python" benchmarks/device.py "$stage" --size "$size" --out "$out" \
    >"$out/$stage.log" 2>&1
  code=$?
  echo "$stage: exit $code after $((SECONDS - began)) s"
  [ $code -eq 0 ] || tail -n 5 "$out/$stage.log"
done <<'STAGES'
floors 30
smoke 75
training 110
decoding 90
methods 110
sweep 90
mistral 65
STAGES
