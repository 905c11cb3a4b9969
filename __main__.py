"""`python -m tapeless`: see `compiler/cli.py`."""

import sys

from tapeless.compiler.cli import main

if __name__ == "__main__":
    sys.exit(main())
