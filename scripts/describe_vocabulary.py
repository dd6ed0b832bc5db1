"""Print the files that describe the YAML vocabulary, as JSON: path in the repository, and text.

    python scripts/describe_vocabulary.py

`invoke docs` writes them. They are the JSON schema of an experiment's files, for editors, and the page with
every key.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

SCHEMA = "modeling/vocabulary/experiment.schema.json"
PAGE = "docs/experiment-keys.md"


def vocabulary_files() -> dict[str, str]:
    """Return the text of each file by its path in the repository."""
    from modeling.vocabulary.json_schema import experiment_schema
    from modeling.vocabulary.key_reference import reference_page

    schema = experiment_schema()
    text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    return {SCHEMA: text, PAGE: reference_page(schema)}


if __name__ == "__main__":
    print(json.dumps(vocabulary_files()))
