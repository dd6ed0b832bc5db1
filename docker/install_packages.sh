#!/usr/bin/env bash
# Installs requirements files of /opt/requirements into the virtual environment during an image build, and removes
# what nothing uses: tests (40 MB), debug symbols of compiled code (50 MB), sources of compiled code and type hints
# (10 MB), and of the CUDA wheels headers, static libraries and code for CUDA 13 (20 MB).
# Files that ask for two versions of a package end the build.
set -euo pipefail

readonly tools=/run/build/tools
uv() { "$tools/opt/uv/bin/uv" "$@"; }
# from the same Debian as this image, so that its libraries match
strip() { LD_LIBRARY_PATH="$tools/usr/lib/$(uname -m)-linux-gnu" "$tools/usr/bin/strip" "$@"; }

if [[ ! -d "$VIRTUAL_ENV" ]]; then
  uv venv --quiet --python "$(command -v python3.11)" "$VIRTUAL_ENV"
fi
touch /tmp/begun
uv pip install --quiet --compile-bytecode --require-hashes "${@/#/--requirements=/opt/requirements/}"
packages="$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
find "$VIRTUAL_ENV" -type d -name tests -prune -exec rm -rf {} +
find "$VIRTUAL_ENV" -type f \( -name '*.[ac]' -o -name '*.pyx' -o -name '*.pyx.in' -o -name '*.pyi' \) -delete
rm -rf "$packages"/nvidia/*/{,nvvm/}include "$packages/cuda/core/cu13"
# only libraries installed just now, since a file of a lower layer would be copied into this one; and only packages
# whose libraries are as the linker wrote them, since strip breaks libraries that a wheel's build rewrote
for package in cryptography fontTools kiwisolver llvmlite PIL scipy yaml; do
  [[ -d "$packages/$package" ]] || continue
  find "$packages/$package" -type f -name '*.so' -cnewer /tmp/begun -print0 |
    while IFS= read -r -d '' library; do strip --strip-unneeded "$library" && echo "$library"; done
done >/tmp/stripped

# a damaged library must fail here and not in a run
python -c '
import ctypes
for library in open("/tmp/stripped"):
    ctypes.PyDLL(library.strip())
'
rm /tmp/begun /tmp/stripped
