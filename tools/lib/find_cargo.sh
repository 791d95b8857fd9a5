#!/usr/bin/env bash
# find_cargo.sh: print the path of a cargo as new as rust/zeta_text/Cargo.toml asks for; fail if there is none.
# Ubuntu's newer toolchains go by versioned names, which are those of their packages.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
floor=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' rust/zeta_text/Cargo.toml)
packages=$(grep '^cargo' tools/packages-debian.txt)
for name in cargo ~/.cargo/bin/cargo ${packages//|/ }; do
  found=$("$name" --version 2>/dev/null | awk '{print $2}') || continue
  [ "$(printf '%s\n' "$floor" "$found" | sort -V | head -n 1)" = "$floor" ] && command -v "$name" && exit
done
echo "no cargo ≥ $floor found: install the package ${packages//|/ or }, or set CARGO to one" >&2
exit 1
