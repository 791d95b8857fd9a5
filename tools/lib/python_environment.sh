#!/usr/bin/env bash
# python_environment.sh VENV LOCK: install what LOCK pins into VENV, once.
set -euo pipefail
venv=$1 lock=$2

# The oldest Python that torch and we support, or newer; the newest that the locked wheels exist for.
supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

find_python() {
  local name
  for name in ${ZETA_PYTHON:-python3 python3.12 python3.11 python3.13}; do
    command -v "$name" >/dev/null && supported "$name" && { command -v "$name"; return; }
  done
  echo "No Python from 3.11 to 3.13 found; set ZETA_PYTHON to one." >&2
  return 1
}

stamp="$venv/.installed-$(basename "$lock")"
if cmp -s "$lock" "$stamp"; then echo "up to date"; exit 0; fi
# One whose making was cut off has no pip.
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$(find_python)" -m venv --clear "$venv"
"$venv/bin/python" -m pip install --disable-pip-version-check --progress-bar off -r "$lock"
cp "$lock" "$stamp"
