"""Charts of the pages, computed on the server as SVG path data.

`drawing.py` has axes, frames, treemaps and `Timeline` (a value over time), and does not use Redis. The other
modules read measurements, from samples that beat takes every 30 seconds or from counts of the store, and
return named tuples that templates draw: `ActivityCharts` (home page), `QueueCharts` (jobs and health). Those of
the store are in its page.

A chart needs no script, and each has a table with the same numbers, for screen readers and for print.

What must never happen: a gap in the measurements is drawn as zero. An unknown value is None, and interrupts
the line.
"""
