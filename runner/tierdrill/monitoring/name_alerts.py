"""The alerts of gateways that look replicas up by name: the resolver fails, or a name leads to somebody else.

Both are tickets. Whoever gets one must leave replicas alone: those that run are served from, and what is started or
moved while names are not found is lost to the gateways.
"""

NAME_ALERTS = (
    (
        "EndpointMisdirected",
        "max by (replica, node) (tierdrill_upstream_misdirected) == 1",
        "ticket",
        "Somebody else answers at the address of {{ $labels.replica }}",
        "The name of the replica leads gateways to an address where another replica answers: a record of the DNS is"
        " wrong, or the address was given to another pod while the old record is still kept. Gateways that check who"
        " answers send it nothing. Mend the record; the replica itself is well, do not restart it.",
    ),
    (
        "ResolverFailing",
        "max by (gateway) (tierdrill_resolver_failing) == 1",
        "ticket",
        "{{ $labels.gateway }} can look no name up",
        "Its resolver answers no question, or with SERVFAIL. The gateway goes on with the addresses it had, so what"
        " runs is served; what is started or moved now is not found. Mend the resolver, move nothing until then, and"
        " do not restart replicas that are well.",
    ),
)
"""Name, expression, severity, summary and description of each."""
