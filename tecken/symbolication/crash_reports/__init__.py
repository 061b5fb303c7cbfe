"""Parsers of crash reports: texts with modules and stacks that people paste or tools write.

`parse.parse_report` tries each kind and returns a `ParsedReport`: modules, threads and frames with module
offsets. Each kind is a module with its grammar, the source of the format, and whether its addresses are those
to which calls return: such an address is looked up one byte earlier, in the call. `module_table` has the
tables that they share: ids, address ranges, and modules of the same name. `report_text` strips what logs add,
and reads the modules that any text can list.

What must never happen:

* A text makes a parser raise anything but `InvalidInput` or `TooLarge`.
* A parser takes more than linear time: every regular expression is safe from backtracking (a test checks it).
* A malformed part of a report hides the parts that can be read.
* A frame gets the function of another module with the same name.
"""
