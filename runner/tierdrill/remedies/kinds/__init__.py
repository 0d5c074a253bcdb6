"""One file for each remedy, named after it, with its record as KIND.

How a target does it is a method of that name in its `remedy_port.py`.
"""
