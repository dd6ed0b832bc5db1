"""Chromium without a screen: what a page looks like at the width of a phone and of a desk.

The page is laid out in a frame of measure_report.html, whose script may look into it; its own has none.
"""

import html
import json
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.needs import need_chromium

HARNESS = Path(__file__).with_name("measure_report.html")
ALONE = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--allow-file-access-from-files",
)


def chromium(*words: str) -> str:
    """Return what Chromium prints of a page; it has a profile of its own, and asks no network."""
    program = need_chromium()
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        done = subprocess.run(
            [program, *ALONE, f"--user-data-dir={profile}", *words],
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def measured(report: Path, widths: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Return by width what measure_report.html finds of a report."""
    address = f"{HARNESS.as_uri()}#{report.as_uri()},{','.join(map(str, widths))}"
    page = chromium("--virtual-time-budget=20000", "--dump-dom", address)
    found = re.search(r'<pre id="measured">(.+?)</pre>', page, re.DOTALL)
    assert found, page[-2000:]
    return {each["width"]: each for each in json.loads(html.unescape(found[1]))}
