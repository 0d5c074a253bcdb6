from tierdrill.targets.kubernetes.kernel_lines import xid_lines

FAULT = xid_lines("XID 45 lines in the node's kernel log", lambda p: (45, 0, p["count"], p["per_second"]))
