#!/bin/sh
# Makes .venv hold what requirements.lock names, hash by hash, and the project itself, editable.
# `make install` runs it when the lock has changed. The stamp is taken away first and written last:
# an installation that was killed is begun anew, one that was finished is brought up to date in place.
set -eu
cd "$(dirname "$0")/.."

venv=.venv
stamp=$venv/.installed
python=
show_python='import sys; print(sys._base_executable) if sys.version_info >= (3, 11) else sys.exit(1)'

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

find_python() {
    for name in ${PYTHON:-python3.13 python3.12 python3.11 python3.14 python3 python}; do
        # A name may be there and not work, such as a version manager's shim.
        # Inside an activated environment, the interpreter that it was made from, as we may replace it.
        if python=$("$name" -c "$show_python" 2>/dev/null); then
            return
        fi
    done
    fail "Mimawari needs Python 3.11 or later, and ${PYTHON:-no python3 here} is none:" \
        "install one, or name yours with \`make install PYTHON=/path/to/python3\`."
}

with_uv() {
    uv --version >/dev/null 2>&1 &&
        { $in_place || uv venv --quiet --clear --python "$python" "$venv"; } &&
        uv pip install --quiet --python "$venv/bin/python" --require-hashes -r requirements.lock &&
        uv pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation --editable .
}

with_pip() {
    "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
        fail "This Python cannot make virtual environments: install that part (on Debian and Ubuntu" \
            "\`apt-get install python3-venv\`), or install uv."
    # A venv that uv made has no pip.
    { $in_place && "$venv/bin/python" -m pip --version >/dev/null 2>&1; } ||
        "$python" -m venv --clear "$venv" &&
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            --require-hashes -r requirements.lock &&
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            --no-deps --no-build-isolation --editable .
}

find_python
in_place=false
if [ -e "$stamp" ] && "$venv/bin/python" -c '' >/dev/null 2>&1; then
    in_place=true
fi
rm -f "$stamp"
printf 'Installing into %s (Python: %s)\n' "$venv" "$python" >&2
if command -v uv >/dev/null 2>&1; then
    with_uv || {
        printf 'uv did not manage it: trying pip.\n' >&2
        in_place=false
        with_pip
    }
else
    printf 'There is no uv, so pip does it: about half a minute.\n' >&2
    with_pip
fi || fail "The installation did not finish; what stands above says why. Run \`make install\` again to retry."
touch "$stamp"
