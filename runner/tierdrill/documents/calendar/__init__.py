"""When: cron lines, time zones, blackouts, windows and iCalendar files, as pure functions of the documents."""
