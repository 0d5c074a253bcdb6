"""`python -m tierdrill` is the command."""

from __future__ import annotations

import sys

from tierdrill.cli.main import main

sys.exit(main())
