"""The lab's gateways: admission, routing and protections of each tier."""
