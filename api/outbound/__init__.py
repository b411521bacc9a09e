"""Feeding other systems: the journal told to each destination, in order, until it is acknowledged.

ledger     how far each destination has come, and what is parked: a small SQLite file
journal    the messages behind a position, page by page
message    the bytes that a destination is sent for a message, or why there are none
courier    one destination: connect, send, hold the answer against the message, go on
dispatch   all couriers of a server
status     what `wardtwin outbound`, the API, the metrics and the doctor show
"""
