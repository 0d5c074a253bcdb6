"""Floor 4: the playbook engine: match, guard, act, verify, escalate."""
