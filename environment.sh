#!/bin/sh
# Makes the virtual environment $1 with a Python that the pinned packages support. PYTHON=… chooses another one.
set -u
for python in ${PYTHON:-python3.11 python3.10 python3}; do
    "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 12))' 2>/dev/null || continue
    "$python" -c 'import ensurepip, venv' 2>/dev/null || { without_venv=$python; continue; }
    "$python" -m venv "$1" || exit 1
    # The pip that Python 3.10 brings cannot build some of the packages.
    exec "$1/bin/python" -m pip install -qq --disable-pip-version-check --upgrade pip==24.3.1
done
if [ -n "${without_venv:-}" ]; then
    echo "error: $without_venv has no venv module; install it (on Debian and Ubuntu: apt-get install python3-venv)" >&2
    exit 1
fi
found=$(${PYTHON:-python3} --version 2>&1 || true)
echo "error: Python 3.10 or 3.11 is needed (found: ${found:-none}); install python3.11 or say PYTHON=/path/to/python3.11" >&2
exit 1
