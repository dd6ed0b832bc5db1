#!/usr/bin/env bash
# Installs epymodelingsuite from a folder that clone_suite.sh has filled, while an image is built; nothing where it
# is empty. The packages keep their locked versions. No cache: the code may be private.
set -euo pipefail

readonly source="$1" uv=/run/build/tools/opt/uv/bin/uv
if [[ ! -d "$source/.git" ]]; then
  exit 0
fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

cp -r "$source" "$work/suite" # its build writes beside its source
# its school calendars write into arrays that pandas 3 makes read-only (docs/suites.md)
"$uv" pip freeze --quiet | grep -v '^pandas==' >"$work/locked"
"$uv" pip install --quiet --compile-bytecode --no-cache --constraint "$work/locked" "$work/suite" 'pandas<3'
git -C "$work/suite" rev-parse HEAD >/opt/modeling_suite_commit
