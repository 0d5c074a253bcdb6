"""The deployment a run happens in, with everything around it that belongs to the run: monitoring, the receiver, the pager, the playbook engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

Own = Callable[[str, int], None]
