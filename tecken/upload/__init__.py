"""Uploads of symbol files: three protocols, one way to store a file, and the removal of old files.

The views in `protocols/` decode a request and hand its files over. `containers` opens a zip, a tar, a
package or a single file, which are all a list of members from then on, and `placement` finds the keys of
members that are not in the layout of a symbol store. `archive_upload` stores the members, `direct_upload`
stores files that the client sends one by one, `protocols/sym_upload` stores the file of Breakpad's client.
All of them store each file with `ingest.store_file` and write its row with `file_rows.record`; `cabinets`
unpacks the file in a CAB file. `retention.Retention` removes old files.

Main classes: `models.Upload` (one request of a client), `form.Archive` (a received file),
`archive.Member`, `file_rows.StoredFile` and `RefusedFile` (the result for one file),
`SymbolText` (why a stored file will not symbolicate).

What must never happen:

* A row has `completed_at` before its object is stored and everything derived from the former object is
  removed.
* A member is stored before all names and sizes of its archive pass every limit, or yields more bytes than
  its entry declares, or a compressed file is unpacked past the limits. Otherwise a bomb could fill disk and
  memory.
* A process that is killed leaves a spool file on disk. Spool files have no name, so the kernel frees them.
* A download by URL connects to an address that was not checked (`protocols/archive`).
"""
