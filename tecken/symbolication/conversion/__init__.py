"""Conversion of symbol files to page files, once per module in the whole fleet.

A web process claims cold modules and waits for their results (`queue.CeleryConversionQueue`). A worker
converts them (`queue.ConversionWorker`, `converter.Converter`) under the conversion lock
(`lock.RedisConversionLock`). Both sides share small keys on redis-cache (`status.RedisConversionTracker`,
`keys`). `converter.Importer` imports a symbol file for a command, `converter.ModuleInvalidator` removes
everything derived from a module's former symbols, and `page_file_builder.Conversion` makes one page file
within bounds of disk and memory.

What must never happen:

* A page file or header of former symbols stays after an upload, however the two interleave.
* Early frames of former symbols are published after an upload has removed them.
* A failure of a source, of the disk or of Redis is stored as "malformed" or "absent".
* A module that kills its worker is converted for ever: after `MAX_ATTEMPTS` it counts as malformed.
* One client's many cold modules delay the modules of others.
* A key on redis-cache has no expiry.
"""
