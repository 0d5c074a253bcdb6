"""Floor 6: several drills in one sitting, with people in their roles, and the record of it."""
