"""Parsers of crash reports: texts with modules and stacks that people paste or tools write.

`parse.parse_report` tries each parser and returns a `ParsedReport`: modules, threads and frames with module
offsets. `json_reports` reads JSON, `stackwalk` the output of minidump_stackwalk, `debuggers` that of gdb and
of Apple's crash reporter, and `parse` itself lists of module and offset.

What must never happen:

* A text makes a parser raise anything but `InvalidInput` or `TooLarge`.
* A parser takes more than linear time: every regular expression is safe from backtracking (a test checks it).
* A malformed part of a report hides the parts that can be read.
"""
