"""`python -m api` is the command line `wardtwin`."""

import sys

from api.cli import main

if __name__ == "__main__":
    sys.exit(main())
