#!/usr/bin/env bash
# Installs epymodelingsuite at GITHUB_MODELING_SUITE_REF of GITHUB_MODELING_SUITE_REPO, while an image is built.
# The token is read from the secret file by git's askpass alone: no argument, URL or layer holds it.
set -euo pipefail

if [[ -z "${GITHUB_MODELING_SUITE_REPO:-}" ]]; then
  exit 0
fi

readonly token_file=/run/secrets/github_pat
readonly repository="$GITHUB_MODELING_SUITE_REPO" ref="${GITHUB_MODELING_SUITE_REF:-main}"
readonly url="${GITHUB_URL:-https://github.com}"
server="$(sed -E 's#^(https?://[^/]+).*#\1#' <<<"$url")"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

if [[ -s "$token_file" ]]; then
  # a server that redirects to another host gets no token: git's question names whom it asks for
  cat >"$work/askpass" <<ASKPASS
#!/bin/sh
case "\$1" in
  "Username for '${server}': ") echo x-access-token ;;
  "Password for '${server/:\/\//://x-access-token@}': ") cat $token_file ;;
  *) exit 1 ;;
esac
ASKPASS
  chmod 700 "$work/askpass"
  export GIT_ASKPASS="$work/askpass"
fi
export GIT_TERMINAL_PROMPT=0

git init --quiet "$work/suite"
git -C "$work/suite" fetch --quiet --depth 1 \
  "$url/$repository.git" "$ref" || {
  echo "error: $repository at $ref cannot be fetched; check the repository," \
    "the ref, and the secret github_pat" >&2
  exit 2
}
git -C "$work/suite" checkout --quiet FETCH_HEAD

# its school calendars write into arrays that pandas 3 makes read-only (docs/suites.md)
/run/build/tools/opt/uv/bin/uv pip install --quiet --compile-bytecode "$work/suite" 'pandas<3'
git -C "$work/suite" rev-parse HEAD >/opt/modeling_suite_commit
