#!/usr/bin/env bash
# Makes a virtual environment and installs the given requirement files in it with pip; does nothing when the same files
# were installed before.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}

die() {
    echo "error: $*" >&2
    exit 2
}

[ $# -gt 1 ] || die "usage: $0 FOLDER REQUIREMENTS_FILE..."
venv=$1
stamp=$venv/requirements.sha256
shift
wanted=$(cat "$@" | sha256sum | cut -d' ' -f1)
# One line for each set of files that the environment satisfies: `make demo` after `make test` installs nothing.
if [ -x "$venv/bin/python" ] && grep -qsx "$wanted" "$stamp"; then
    exit 0
fi

# Without pip it is a half-made one: an earlier set-up was interrupted.
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    command -v "$python" >/dev/null || die "no $python found: install Python 3.11 or newer, or set PYTHON=/path/to/python3"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "$python is $("$python" -V 2>&1); Python 3.11 or newer is needed (set PYTHON=/path/to/python3)"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        die "$python cannot make virtual environments: install its venv module (Debian, Ubuntu: apt-get install python3-venv)"
    command -v which >/dev/null || die "no command 'which' found (Snakemake's Slurm plugin calls it): install it"
    echo "making $venv with $("$python" -V 2>&1)"
    "$python" -m venv --clear "$venv"
fi

arguments=()
for file in "$@"; do
    arguments+=(-r "$file")
done
echo "installing $* in $venv (some minutes, several gigabytes the first time)"
rm -f "$stamp"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${arguments[@]}"
{
    for file in "$@"; do
        sha256sum "$file" | cut -d' ' -f1
    done
    echo "$wanted"
} | sort -u >"$stamp"
