"""A small model of one sentence: whether it is positive or negative. The worked example of custom-models.md.

A logistic regression on the words: each has a weight, "not" turns the next three around. The weights are in
weights.json of the model's folder in the models bucket, else in sentiment.json beside this file.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modeling.failures import UserError
from services.models import Finished, Predicted, Prepared, Upload

OWN_WEIGHTS = Path(__file__).with_name("sentiment.json")
MOST_BYTES = 64 << 10
NEUTRAL = 0.1  # a score so near to 1/2 has no label
_TURNED_WORDS = 3


class Sentiment:
    """Labels the text of a .txt file; the whole text is one unit."""

    name, version, formats = "sentiment", "1", ".txt"

    def accepts(self, name: str, head: bytes) -> bool:
        return name.lower().endswith(".txt")

    def prepare(self, upload: Upload, models: Path, seed: int) -> Prepared:
        if set(upload.options) - {"seed"}:
            raise UserError(f"{upload.name}: sentiment has no options; leave out {', '.join(upload.options)}")
        if len(upload.content) > MOST_BYTES:
            raise UserError(
                f"{upload.name}: {len(upload.content):,} bytes; a text has at most {MOST_BYTES:,}"
            )
        try:
            text = upload.content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(f"{upload.name}: byte {error.start + 1} is not UTF-8; save it as UTF-8") from None
        if not _words(text):
            raise UserError(f"{upload.name}: there is no word in it; write a sentence")
        return Prepared(units=["text"], content=text.encode())

    def load(self, models: Path, device: str) -> str:
        path = models / "weights.json"
        path = path if path.exists() else OWN_WEIGHTS
        try:
            read = json.loads(path.read_text("utf-8"))
            self._bias, self._weights = float(read["bias"]), {w: float(v) for w, v in read["words"].items()}
            self._negations = frozenset(read["negations"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path.name} of sentiment is damaged ({error!r}); upload it again") from None
        return "cpu"

    def predict(self, content: bytes, first: int, count: int, seed: int) -> Predicted:
        words = _words(content.decode())
        weights = np.array([self._weights.get(word, 0.0) for word in words])
        signs = np.ones(len(words))
        for place in (place for place, word in enumerate(words) if word in self._negations):
            signs[place + 1 : place + 1 + _TURNED_WORDS] *= -1
        score = 1 / (1 + np.exp(-(self._bias + signs @ weights)))
        found = {"score": round(float(score), 6), "known_words": int(np.count_nonzero(weights))}
        return Predicted(json.dumps(found).encode())

    def finish(self, content: bytes, shards: Sequence[Predicted], folder: Path) -> Finished:
        found = json.loads(shards[0].content)
        score = found["score"]
        label = "neutral" if abs(score - 0.5) < NEUTRAL / 2 else "positive" if score > 0.5 else "negative"
        summary = {"label": label, "score": score, "confidence": round(max(score, 1 - score), 6), **found}
        text = json.dumps({"text": content.decode(), **summary}, indent=2, ensure_ascii=False)
        return Finished({"sentiment.json": text.encode()}, summary)


def _words(text: str) -> list[str]:
    """Return the words in lower case; "don't" is one."""
    return re.findall(r"\w+(?:'\w+)?", text.lower().replace("’", "'"))
