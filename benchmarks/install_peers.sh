#!/usr/bin/env bash
# Makes the virtual environments of the loaders that `facet benchmark` measures Facet against:
#   bash benchmarks/install_peers.sh peers
#   facet benchmark read --peers peers
# They are not Facet's requirements: each has a Python environment of its own. Needs a C++ compiler; FFCV is built from
# source and needs Debian's libopencv-dev, libturbojpeg0-dev and pkg-config, or their like.
set -euo pipefail

peers=${1:?the folder to make, such as: bash benchmarks/install_peers.sh peers}
[ $# -gt 1 ] || set -- "$peers" ffcv pytorch grain opencv5  # or those that are named
python=${PYTHON:-python3.11}
tensorflow=tensorflow-cpu==2.21.0  # every column is measured to TensorFlow tensors too
mkdir -p "$peers"

environment() {
  { [ -x "$peers/$1/bin/python" ] || "$python" -m venv "$peers/$1"; } &&
    install "$1" --upgrade pip setuptools wheel
}

install() {
  local name=$1
  shift
  "$peers/$name/bin/python" -m pip install --quiet "$@"
}

ffcv() {
  pkg-config --exists opencv4 libturbojpeg || {
    echo "ffcv: needs apt-get install libopencv-dev libturbojpeg0-dev pkg-config" >&2
    return 1
  }
  # FFCV's own list asks for more than its loader needs, and its build needs NumPy and torch to be there already
  environment ffcv &&
    install ffcv torch==2.13.0 numba==0.68.1 opencv-python-headless pillow psutil pandas tqdm "$tensorflow" &&
    install ffcv --no-deps --no-build-isolation ffcv==1.0.2
}

pytorch() {
  environment pytorch &&
    install pytorch torch==2.14.1 torchvision==0.29.1 webdataset==1.0.2 simplejpeg==1.9.0 &&
    install pytorch opencv-python-headless "$tensorflow"
}

grain() {
  environment grain &&
    install grain grain==0.2.18 array-record==0.8.6 simplejpeg==1.9.0 opencv-python-headless "$tensorflow"
}

opencv5() {
  environment opencv5 && install opencv5 numpy opencv-python-headless==5.0.0.93
}

missing=0
for peer in "${@:2}"; do
  # one that cannot be installed is left out, and the benchmark says so
  if "$peer"; then
    echo "$peer: installed in $peers/$peer"
  else
    echo "$peer: not installed" >&2
    missing=1
  fi
done
exit $missing
