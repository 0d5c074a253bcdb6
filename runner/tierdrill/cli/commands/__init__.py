"""One module per command (or pair of commands); each is loaded only when it is called."""
