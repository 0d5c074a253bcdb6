"""One file for each kind of fault, named after it, with its record as KIND.

How a target does it is a file of the same name there, as in `targets/lab/faults/`.
"""
