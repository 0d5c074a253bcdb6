"""The facilitator's side of an exercise."""
