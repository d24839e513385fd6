#!/usr/bin/env bash
# The whole path on drawn faces, in a folder of its own: draw, pack, look, train, kill, resume, evaluate, export, predict.
# `make demo` runs it. Usage: scripts/demo.sh FOLDER (removed first where an earlier demo made it)
set -euo pipefail

folder=${1:?usage: scripts/demo.sh FOLDER}
mark=.made-by-facet-demo
unset FACET_HISTORY

if [ -e "$folder" ] && [ ! -e "$folder/$mark" ]; then
    echo "demo: $folder: was not made by an earlier demo, expected no such folder" >&2
    exit 1
fi
rm -rf "$folder"
mkdir -p "$folder"
cd "$folder"
touch "$mark"

# Prints a command as it can be copied into a shell.
show() {
    printf '$'
    printf ' %q' "$@"
    echo
}

run() {
    echo
    show "$@"
    "$@"
}

# Trains in the background and kills the process with SIGKILL as soon as a first checkpoint is complete.
run_and_kill() {
    echo
    show "$@"
    "$@" &
    local process=$!
    while kill -0 "$process" 2>/dev/null && [ ! -e history/demo/checkpoints/latest.json ]; do
        sleep 0.2
    done
    kill -KILL "$process" 2>/dev/null || true
    wait "$process" 2>/dev/null || true
    echo
    echo "# The training was killed with SIGKILL at its first checkpoint: $(ls history/demo/checkpoints)"
}

run facet sample faces --layout agegender --count 2000 --image-size 64
run facet pack faces faces.h5
run facet inspect faces.h5 --grid faces.png
run_and_kill facet train faces.h5 --run demo --label gender --backbone mobilenet --weights none --image-size 64 \
    --batch-size 16 --warm-up-epochs 1 --fine-tuning-epochs 10 --fine-tuning-learning-rate 0.0003 \
    --trainable-layers all --checkpoint-every 1
run facet train --resume demo
run facet evaluate demo
run facet export demo demo.pb
pictures=(faces/combined/valid/*/*.jpg)
run facet predict demo.pb "${pictures[0]}"

echo
echo "Everything lies in $PWD:"
echo "  faces/         2,000 drawn pictures; nobody real is shown"
echo "  faces.h5       the packed dataset; faces.png shows examples"
echo "  history/demo/  the run: checkpoints, epochs.csv, curves.png, evaluation"
echo "  demo.pb        the frozen graph, demo.json what other programs must know about it"
