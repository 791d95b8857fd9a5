"""``python -m zeta.data``."""

import sys

from zeta.data.command_line import main

if __name__ == "__main__":
    sys.exit(main())
