#!/usr/bin/env bash
# system_packages.sh LIST: make sure that the packages of LIST are there: install them where we may, else list them.
set -euo pipefail
list=$1

installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }
available() { [ -n "$(apt-cache policy "$1" 2>/dev/null | sed -n 's/.*Candidate: \([^(].*\)/\1/p')" ]; }

# The first alternative that is installed; else the first that can be; else the first.
choose() {
  local alternatives=(${1//|/ }) name
  for name in "${alternatives[@]}"; do installed "$name" && { echo "$name"; return; }; done
  for name in "${alternatives[@]}"; do available "$name" && { echo "$name"; return; }; done
  echo "${alternatives[0]}"
}

# Every line of the list whose package is not there; programs that came another way count as there.
find_missing() {
  missing=()
  local line name
  while read -r line; do
    case "$line" in ''|\#*) continue ;; esac
    case "$line" in
      cmake|git) command -v "$line" >/dev/null && continue ;;
      ninja-build) command -v ninja >/dev/null && continue ;;
      cargo*) tools/lib/find_cargo.sh >/dev/null 2>&1 && continue ;;
    esac
    name=$(choose "$line")
    installed "$name" || missing+=("$name")
  done <"$list"
}

command -v dpkg-query >/dev/null || { echo "This is no Debian or Ubuntu: install what $list lists, by your own names, and set ZETA_SKIP_PACKAGES=1."; [ -n "${ZETA_SKIP_PACKAGES:-}" ]; exit; }
find_missing
[ ${#missing[@]} -eq 0 ] && { echo "all there"; exit 0; }

sudo=()
if [ "$(id -u)" -ne 0 ]; then
  sudo=(sudo -n)
  if ! "${sudo[@]}" true 2>/dev/null; then
    echo "Missing system packages, and no right to install them. As root, run:"
    echo "    apt-get update && apt-get install -y ${missing[*]}"
    exit 1
  fi
fi
echo "installing ${missing[*]}"
"${sudo[@]}" apt-get update -q
find_missing  # what is available is known only now
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
