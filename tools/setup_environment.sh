#!/usr/bin/env bash
# Makes a virtual environment and installs the given requirement files in it with uv; does nothing when the same files
# were installed before. uv links from its cache: packages that two environments share take their gigabytes once. They
# are compiled here, as each of the many processes of a run would do it again where Python may not write beside them.
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

# Without uv it is a half-made one: an earlier set-up was interrupted.
if ! "$venv/bin/uv" --version >/dev/null 2>&1; then
    command -v "$python" >/dev/null || die "no $python found: install Python 3.11 or newer, or set PYTHON=/path/to/python3"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "$python is $("$python" -V 2>&1); Python 3.11 or newer is needed (set PYTHON=/path/to/python3)"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        die "$python cannot make virtual environments: install its venv module (Debian, Ubuntu: apt-get install python3-venv)"
    command -v which >/dev/null || die "no command 'which' found (Snakemake's Slurm plugin calls it): install it"
    echo "making $venv with $("$python" -V 2>&1)"
    "$python" -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check "$(grep '^uv==' requirements/main.txt)"
fi

# uv reads no configuration of pip's: a mirror that is set there is handed on.
mirror=${PIP_INDEX_URL:-$("$venv/bin/python" -m pip config get global.index-url 2>/dev/null || true)}
if [ -n "$mirror" ]; then
    export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$mirror}
fi

arguments=()
for file in "$@"; do
    arguments+=(-r "$file")
done
echo "installing $* in $venv (some minutes, several gigabytes the first time)"
rm -f "$stamp"
"$venv/bin/uv" pip install --quiet --compile-bytecode --python "$venv/bin/python" "${arguments[@]}"
{
    for file in "$@"; do
        sha256sum "$file" | cut -d' ' -f1
    done
    echo "$wanted"
} | sort -u >"$stamp"
