from tierdrill.targets.kubernetes.kernel_lines import xid_lines

FAULT = xid_lines(
    "the XID's line in the node's kernel log; the GPU itself works on", lambda p: (p["xid"], p["gpu"], 1, 1.0)
)
