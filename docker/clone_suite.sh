#!/usr/bin/env bash
# Clones GITHUB_MODELING_SUITE_REPO at GITHUB_MODELING_SUITE_REF into a folder, without history, during an image
# build; the folder stays empty if no repository is set. Only git's askpass reads the token, from the secret's file:
# it is in no argument, address or layer.
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
  # git's prompt names the host that asks, so another host, after a redirect, gets no token
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
# give up if a connection transfers less than 1000 bytes a second for a minute
git -C "$target" -c http.lowSpeedLimit=1000 -c http.lowSpeedTime=60 \
  fetch --quiet --depth 1 --no-tags "$url/$repository.git" "$ref" || {
  echo "error: $repository at $ref cannot be fetched; check the repository," \
    "the ref, and the secret github_pat" >&2
  exit 2
}
git -C "$target" checkout --quiet --detach FETCH_HEAD
