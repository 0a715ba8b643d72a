"""`python -m intact8`: the `intact8` command."""

import sys

from ._command import main

sys.exit(main())
