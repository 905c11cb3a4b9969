"""`python -m tests.fuzz`, from the root of the checkout with tapeless installed."""

import os
import sys
from pathlib import Path

os.environ["TAPELESS_POISON"] = "1"
sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from fuzz.command import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
