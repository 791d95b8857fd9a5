#!/usr/bin/env bash
# thread_safety.sh: clang's analysis of src/base/thread_annotations.h, which gcc ignores, over every file that includes
# an annotated header. None of them includes torch, so the system's headers are all they need.
set -uo pipefail
mapfile -t annotated < <(git grep -lE 'ZETA_(GUARDED_BY|REQUIRES|EXCLUDES)' -- 'src/*.h' 'apps/*.h')
mapfile -t files < <(git grep -lFf <(printf '#include "%s"\n' "${annotated[@]}") -- 'src/*.cc' 'apps/*.cc')
[ ${#files[@]} -gt 0 ] || { echo "thread_safety.sh: found no file to analyse" >&2; exit 1; }
generated=$(mktemp -d)
trap 'rm -rf "$generated"' EXIT
protoc --proto_path=api --cpp_out="$generated" api/*.proto || exit 1
printf '%s\0' "${files[@]}" | xargs -0 -P "$(nproc)" -n 1 \
  clang++-16 -std=c++20 -I. -isystem "$generated" -fsyntax-only -Wthread-safety -Werror=thread-safety
