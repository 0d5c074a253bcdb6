"""Floor 2: Prometheus and Alertmanager: rules from objectives, evidence of alerts, the webhook receiver."""
