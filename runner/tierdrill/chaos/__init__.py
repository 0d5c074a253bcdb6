"""Floor 4: the Chaos Toolkit extension: actions and probes of tierdrill's faults."""

from typing import Any

ACTIONS_MODULE = "tierdrill.chaos.actions"
"""Where experiments find them; here, since processes that only need the name shall not load every document's model."""


def discover(discover_system: bool = True) -> dict[str, Any]:
    """What `chaos discover tierdrill.chaos` lists."""
    from chaoslib.discovery.discover import discover_actions, discover_probes, initialize_discovery_result

    from tierdrill import __version__

    discovery = initialize_discovery_result("tierdrill.chaos", __version__, "tierdrill")
    discovery["activities"].extend(discover_actions("tierdrill.chaos.actions"))
    discovery["activities"].extend(discover_probes("tierdrill.chaos.probes"))
    return dict(discovery)
