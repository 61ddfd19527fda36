"""`python -m dit_bench`."""

import sys

from dit_bench.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
