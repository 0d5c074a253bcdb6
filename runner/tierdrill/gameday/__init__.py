"""Floor 6: game days: several drills in one sitting, with people. A durable journal, an engine, a screen, a record."""
