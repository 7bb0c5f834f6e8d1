"""`python tests/model/compare.py --seeds 0-50`: the program against the model, many worlds."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.model.harness import main

if __name__ == "__main__":
    sys.exit(main())
