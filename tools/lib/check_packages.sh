#!/usr/bin/env bash
# The checkers that only a developer needs, kept apart from what a build needs.
set -euo pipefail
for name in clang-format-16 clang-tidy-16; do
  command -v "$name" >/dev/null && continue
  sudo=(); [ "$(id -u)" -eq 0 ] || sudo=(sudo -n)
  "${sudo[@]}" apt-get update -q >/dev/null
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends clang-format-16 clang-tidy-16 >/dev/null
  break
done
