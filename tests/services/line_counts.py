"""A model for the tests: counts the letters of each line of a .lines file; a line may order what goes wrong.

"bad" fails alone, "slow 2" takes two seconds and logs its begin, and "prepare", "predict" or "finish" is a
bug in that method.
"""

import json
import logging
import time

from services.models import Finished, Predicted, Prepared


class LineCounts:
    name, version, formats = "line-counts", "1", ".lines"

    def accepts(self, name, head):
        return name.endswith(".lines")

    def prepare(self, upload, models, seed):
        lines = upload.content.decode().split("\n")
        _raise_where_ordered("prepare", lines)
        return Prepared([f"line {n}" for n, _ in enumerate(lines, 1)], json.dumps(lines).encode(), 1.0)

    def load(self, models, device):
        return device

    def predict(self, content, first, count, seed):
        lines = json.loads(content)[first : first + count]
        _raise_where_ordered("predict", lines)
        for line in lines:
            if line.startswith("slow "):
                logging.getLogger(__name__).info("%s: begins", line)
                time.sleep(float(line.removeprefix("slow ")))
        failed = {f"line {n}": "it is bad" for n, line in enumerate(lines, first + 1) if line == "bad"}
        counts = [[len(line), seed] for line in lines if line != "bad"]
        return Predicted(json.dumps(counts).encode(), failed)

    def finish(self, content, shards, folder):
        _raise_where_ordered("finish", json.loads(content))
        counts = [count for shard in shards for count in json.loads(shard.content)]
        on_disk = folder / "counts.json"
        on_disk.write_text(json.dumps(counts))
        return Finished({"tables/counts.json": on_disk, "a.txt": b"text"}, {"lines": len(counts)})


def _raise_where_ordered(method, lines):
    if method in lines:
        raise KeyError(f"secret of {method}")
