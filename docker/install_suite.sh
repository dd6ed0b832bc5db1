#!/usr/bin/env bash
# Installs epymodelingsuite from the folder of clone_suite.sh during an image build; does nothing if that is empty.
# The packages keep their locked versions. There is no cache, since the code may be private.
set -euo pipefail

readonly source="$1" uv=/run/build/tools/opt/uv/bin/uv
if [[ ! -d "$source/.git" ]]; then
  exit 0
fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

cp -r "$source" "$work/suite" # its build writes into its source folder
# its school calendars write to arrays that are read-only in pandas 3 (docs/suites.md)
"$uv" pip freeze --quiet | grep -v '^pandas==' >"$work/locked"
"$uv" pip install --quiet --compile-bytecode --no-cache --constraint "$work/locked" "$work/suite" 'pandas<3'
git -C "$work/suite" rev-parse HEAD >/opt/modeling_suite_commit
