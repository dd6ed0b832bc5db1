"""What the Dockerfile's arguments bring into an image, and the token that they must not.

A real engine; a private repository and a package archive of this machine.
"""

import base64
import functools
import hashlib
import re
import subprocess
import tarfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pytest

from localcloud.process import running
from tests.emulated import commit_all, offer_repository
from tests.experiments import REPOSITORY
from tests.needs import build_image, docker, need_engine, need_program

TOKEN = "ghp_marked0token0of0this0image0test0000"
SUITE = "my-lab/epymodelingsuite"
# servers of this machine are seen by a build on its own network alone
ON_THIS_MACHINE = ("--network", "host")


@pytest.fixture(scope="module")
def private_suite(tmp_path_factory):
    """A package called epymodelingsuite in a private repository; yields the address of its server."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / "epymodelingsuite").mkdir()
    (folder / "epymodelingsuite" / "__init__.py").write_text("HERE = True\n")
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "epymodelingsuite"\nversion = "0.0.1"\n'
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[tool.setuptools]\npackages = ["epymodelingsuite"]\n'
    )
    # code that runs while the suite is installed, and takes what it finds
    (folder / "setup.py").write_text(
        "import pathlib, setuptools\n"
        "secret = pathlib.Path('/run/secrets/github_pat')\n"
        "found = secret.read_text() if secret.exists() else 'no token'\n"
        "pathlib.Path('epymodelingsuite/found.txt').write_text(found)\n"
        "setuptools.setup(package_data={'epymodelingsuite': ['found.txt']})\n"
    )
    commit_all(folder, "suite")
    with running(tmp_path_factory.mktemp("cloud")) as cloud:
        offer_repository(cloud, SUITE, folder, TOKEN)
        yield f"{cloud.apis}/git"


def build_with_suite(server: str, tag: str, secret: bool) -> subprocess.CompletedProcess:
    arguments = {
        "GITHUB_URL": server,
        "GITHUB_MODELING_SUITE_REPO": SUITE,
        "GITHUB_MODELING_SUITE_AT": tag,  # a layer of another test, with the token, would do for this one
    }
    secrets = ["--secret", "id=github_pat,env=GITHUB_PAT"] if secret else []
    return build_image("cloud", tag, arguments, *ON_THIS_MACHINE, *secrets, GITHUB_PAT=TOKEN)


@pytest.mark.timeout(900)
def test_a_private_suite_is_installed_and_its_token_is_nowhere_in_the_image(private_suite, tmp_path):
    need_engine()
    tag = "epymodelingsuite:token-test"

    built = build_with_suite(private_suite, tag, secret=True)

    assert built.returncode == 0, built.stdout
    imports = "import epymodelingsuite; print(epymodelingsuite.HERE)"
    assert docker("run", "--rm", tag, "python", "-c", imports) == "True"
    assert docker("run", "--rm", tag, "bash", "-c", "cat /opt/venv/lib/*/site-packages/epym*/found.txt") == (
        "no token"
    )
    locked = (REPOSITORY / "docker" / "requirements.txt").read_text()
    numpy = docker("run", "--rm", tag, "python", "-c", "import numpy; print(numpy.__version__)")
    assert f"numpy=={numpy} " in locked
    # stage C is told of its commit: env stands in for Python, and says what it was given
    told = docker("run", "--rm", "--env", "PYTHON=env", tag, "bash", "/scripts/run_output.sh")
    assert re.search(r"^SUITE_COMMIT=[0-9a-f]{40}$", told, re.MULTILINE)
    docker("save", "--output", str(tmp_path / "image.tar"), tag)
    history = docker("history", "--no-trunc", tag) + docker("image", "inspect", tag)
    docker("rmi", tag)
    for marked in (TOKEN.encode(), base64.b64encode(f"x-access-token:{TOKEN}".encode())):
        assert marked not in built.stdout.encode()
        assert marked not in history.encode()
        assert not list(files_with(marked, tmp_path / "image.tar"))


def files_with(marked: bytes, image: Path):
    """Yield every file of every layer, and of the image itself, that holds some bytes."""
    found_layers = 0
    with tarfile.open(image) as outer:
        for member in outer:
            data = outer.extractfile(member).read() if member.isfile() else b""
            if marked in data:
                yield member.name
            if member.name.endswith("layer.tar") or data[257:262] == b"ustar":
                found_layers += 1
                with tarfile.open(fileobj=BytesIO(data)) as layer:
                    for entry in layer:
                        if entry.isfile() and marked in layer.extractfile(entry).read():
                            yield f"{member.name}: {entry.name}"
    assert found_layers > 3


@pytest.mark.timeout(900)
def test_a_private_suite_without_a_token_ends_the_build_with_a_reason(private_suite):
    need_engine()

    built = build_with_suite(private_suite, "epymodelingsuite:no-token-test", secret=False)

    assert built.returncode != 0
    assert f"error: {SUITE} at main cannot be fetched" in built.stdout


@pytest.fixture
def package_archive(tmp_path):
    """A signed Debian archive on this machine that has a google-cloud-cli; yields its address."""
    for program in ("gpg", "dpkg-deb"):
        need_program(program)
    machine = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True).stdout.strip()
    control = "Package: google-cloud-cli\nVersion: 1.0\nArchitecture: all\nMaintainer: A <a@example.org>\n"
    control += "Description: stands in for the real one\n"
    package, root = tmp_path / "package", tmp_path / "apt"
    for name, text in {"DEBIAN/control": control, "usr/bin/gcloud": "#!/bin/sh\necho stand-in\n"}.items():
        (package / name).parent.mkdir(parents=True)
        (package / name).write_text(text)
    (package / "usr/bin/gcloud").chmod(0o755)
    index = root / "dists" / "cloud-sdk" / "main" / f"binary-{machine}"
    for folder in (index, root / "doc", tmp_path / "keys"):
        folder.mkdir(parents=True, mode=0o700)
    subprocess.run(["dpkg-deb", "--build", package, root / "cli.deb"], check=True, capture_output=True)
    deb = (root / "cli.deb").read_bytes()
    listing = f"{control}Filename: ./cli.deb\nSize: {len(deb)}\nSHA256: {hashlib.sha256(deb).hexdigest()}\n"
    (index / "Packages").write_text(listing)
    digest = hashlib.sha256(listing.encode()).hexdigest()
    release = index.parents[1] / "Release"
    release.write_text(
        f"Suite: cloud-sdk\nComponents: main\nArchitectures: {machine}\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n"
        f"SHA256:\n {digest} {len(listing)} main/binary-{machine}/Packages\n"
    )
    gpg = ["gpg", "--homedir", str(tmp_path / "keys"), "--batch", "--passphrase", ""]
    gpg += ["--pinentry-mode", "loopback"]
    subprocess.run([*gpg, "--quick-generate-key", "archive"], check=True, capture_output=True)
    subprocess.run([*gpg, "--clearsign", "-o", release.with_name("InRelease"), release], check=True)
    key = subprocess.run([*gpg, "--armor", "--export"], check=True, capture_output=True).stdout
    (root / "doc" / "apt-key.gpg").write_bytes(key)
    agent = ["gpgconf", "--homedir", str(tmp_path / "keys"), "--kill", "gpg-agent"]
    subprocess.run(agent, check=True)  # gpg has started it, and it would stay
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(root))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.mark.timeout(900)
def test_the_gcloud_cli_is_in_the_image_of_those_who_want_it(package_archive):
    need_engine()
    tag = "epymodelingsuite:gcloud-test"
    arguments = {"WITH_GCLOUD": "1", "GCLOUD_APT": package_archive}

    built = build_image("cloud", tag, arguments, *ON_THIS_MACHINE)

    assert built.returncode == 0, built.stdout
    assert docker("run", "--rm", tag, "gcloud") == "stand-in"
    assert docker("run", "--rm", tag, "bash", "-c", "command -v curl gpg || echo gone") == "gone"
    docker("rmi", tag)
