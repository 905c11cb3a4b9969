"""`python -m tests.array_api`, from the root of the checkout with tapeless installed."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from array_api.suite import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
