"""Whether a drill may start now: the rules, and the facts they decide on."""
