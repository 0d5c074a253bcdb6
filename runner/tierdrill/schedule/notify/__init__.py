"""Telling people what became of a drill: what is said (notice, render), kept until it is said (outbox), and how (send).

The scheduler posts a `Notice` to the `Outbox`, which never waits and never raises, and lets `Courier.deliver_forever`
bring it to the channels of the calendar.
"""
