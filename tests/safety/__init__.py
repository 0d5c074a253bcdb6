"""The safety promises under attack: kills at bad moments in a lab that stays, and what is left afterwards."""
