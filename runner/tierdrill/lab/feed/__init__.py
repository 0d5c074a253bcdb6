"""What stands in for the controller on a cluster: it places nothing, it tells what the API server shows."""
