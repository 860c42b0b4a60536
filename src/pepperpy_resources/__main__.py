"""`python -m pepperpy_resources` is the command line."""

import sys

from pepperpy_resources.cli import main

if __name__ == "__main__":
    sys.exit(main())
