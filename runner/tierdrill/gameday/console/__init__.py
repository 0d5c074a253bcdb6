"""The facilitator's terminal of a game day."""
