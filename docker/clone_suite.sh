#!/usr/bin/env bash
# Clones GITHUB_MODELING_SUITE_REPO at GITHUB_MODELING_SUITE_REF into a folder, without history, while an image is
# built; an empty folder where no repository is named. The token is read from the secret's file by git's askpass
# alone: no argument, address or layer holds it.
set -euo pipefail

readonly target="$1" token_file=/run/secrets/github_pat
readonly repository="${GITHUB_MODELING_SUITE_REPO:-}" ref="${GITHUB_MODELING_SUITE_REF:-main}"
readonly url="${GITHUB_URL:-https://github.com}"

mkdir -p "$target"
if [[ -z "$repository" ]]; then
  exit 0
fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

if [[ -s "$token_file" ]]; then
  # a server that redirects to another host gets no token: git's question names whom it asks for
  server="$(sed -E 's#^(https?://[^/]+).*#\1#' <<<"$url")"
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
export GIT_TERMINAL_PROMPT=0 GIT_CONFIG_NOSYSTEM=1 HOME="$work" LC_ALL=C

git init --quiet "$target"
# a connection that brings less than 1000 bytes a second for a minute is given up
git -C "$target" -c http.lowSpeedLimit=1000 -c http.lowSpeedTime=60 \
  fetch --quiet --depth 1 --no-tags "$url/$repository.git" "$ref" || {
  echo "error: $repository at $ref cannot be fetched; check the repository," \
    "the ref, and the secret github_pat" >&2
  exit 2
}
git -C "$target" checkout --quiet --detach FETCH_HEAD
