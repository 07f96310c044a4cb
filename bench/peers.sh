#!/bin/sh
# Install the other hosts that `python -m bench link --peers` measures, each in an environment of its own.
#
#   bench/peers.sh DIR [PYTHON]
#
# OctoPrint's base folder: no wizard, a user with an API key, no plugin that calls out.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:?usage: bench/peers.sh DIR [PYTHON]}"
dir=$(cd "$1" && pwd)
python=${2:-python3}

"$python" -m venv "$dir/octoprint"
"$dir/octoprint/bin/pip" install --quiet --disable-pip-version-check OctoPrint==1.11.8
mkdir -p "$dir/octoprint-base"
sed "s:@PORTS@:$dir/ports/*:" "$here/octoprint-config.yaml" > "$dir/octoprint-base/config.yaml"
if ! grep -q BENCHBENCH "$dir/octoprint-base/users.yaml" 2>/dev/null; then
    "$dir/octoprint/bin/octoprint" --basedir "$dir/octoprint-base" user add bench --password bench --admin
    sed -i 's/apikey: null/apikey: BENCHBENCHBENCHBENCHBENCHBENCH00/' "$dir/octoprint-base/users.yaml"
fi

# Printrun's own dependencies are a user interface; printcore needs these two
"$python" -m venv "$dir/printcore"
"$dir/printcore/bin/pip" install --quiet --disable-pip-version-check --no-deps Printrun==2.2.0
"$dir/printcore/bin/pip" install --quiet --disable-pip-version-check pyserial psutil platformdirs

echo "installed in $dir; now: python -m bench link --peers octoprint,printcore --peers-dir $dir"
