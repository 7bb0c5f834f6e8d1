"""`python tests/model/compare.py --seeds 0-50`: the program against the model, many worlds."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

from model.harness import main  # noqa: E402 - found through the lines above

if __name__ == "__main__":
    sys.exit(main())
