"""How tierdrill's own gateways do kinds of fault that they are told of, one file a kind; see fault_port."""
