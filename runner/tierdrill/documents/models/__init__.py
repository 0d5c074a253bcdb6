"""The kinds of documents that people write, one model per kind, and the quantities they are written in."""
