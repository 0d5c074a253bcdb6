"""From files to documents: YAML with places, located errors, and the catalogue of a folder."""
