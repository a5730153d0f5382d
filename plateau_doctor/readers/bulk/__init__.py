"""Event files read all records at once, in numpy: the one clever room of the readers.

Nothing is decided here that a plain twin does not decide alike, and the tests hold each to its twin:
`frames` to `framing.walk`, `checks` to `crc.crc32c_of_ranges`, `values` and `tensors` to the walk over single
events in `event_file`, `buckets` and `summaries` to `histograms`. What is not of the usual shape is left to the twin.
"""
