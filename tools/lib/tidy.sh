#!/usr/bin/env bash
# tidy.sh BUILD FILE…: clang-tidy over files, skipping those whose preprocessed text passed before.
set -uo pipefail
build=$1; shift
cache=$build/tidy
mkdir -p "$cache"

tidy_one() {
  local build=$1 cache=$2 file=$3 key command
  command=$(python3 - "$build" "$file" <<'E2'
import json, os, shlex, sys
build, file = sys.argv[1:]
for entry in json.load(open(f"{build}/compile_commands.json")):
    if os.path.realpath(entry["file"]) == os.path.realpath(file):
        words = shlex.split(entry["command"])
        compiler = next(i for i, w in enumerate(words) if os.path.basename(w) in ("c++", "g++", "clang++"))
        words = words[compiler:]
        output = words.index("-o")
        print(shlex.join(["g++"] + words[1:output] + ["-E", "-P", file]))
        break
E2
)
  [ -n "$command" ] || { echo "$file: in no target"; return 1; }
  key=$( (cd "$build" && eval "${command% *} $OLDPWD/$file"; cat "$OLDPWD/.clang-tidy") 2>/dev/null | sha256sum | cut -d' ' -f1)
  [ -e "$cache/$key" ] && return 0
  clang-tidy-16 --quiet -p "$build" "$file" 2>/dev/null && touch "$cache/$key"
}
export -f tidy_one
printf '%s\0' "$@" | xargs -0 -P "$(nproc)" -I{} bash -c 'tidy_one "$@"' _ "$build" "$cache" {}
