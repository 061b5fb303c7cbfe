"""Backups of a whole site: database, uploaded files, and what redis-cache alone has.

A destination is a directory or a bucket. It has one folder for each backup, and objects that they share:

    backups/20261201T002300.123Z/database            pg_dump's custom format, or a copy of the SQLite file
    backups/20261201T002300.123Z/redis-cache         lines of JSON, compressed (`redis_copy`)
    backups/20261201T002300.123Z/files-00000         the same, of the files of the storage (`archive`)
    backups/20261201T002300.123Z/manifest.json       sizes and SHA-256 of all of these; written last
    objects/3f/3fa8...                           content of files, each version once

The order of the copies makes them fit together, while uploads continue:

    staged archives -> redis-cache -> database -> names and references -> content

* A job that waits is copied before the row of its upload, and after its staged archive. If it is done in
  between, it runs a second time after a restore, which every job allows. In another order the upload would
  have neither a job nor its files.
* A row is written after its file, so each row of the copy has a file that is listed later. The same holds for
  a reference and its content.
* Retention may delete a file whose row is copied already. Such a file is counted as removed, and the check
  that ends a restore removes its row.

What must never happen: a backup without all its parts has a manifest; a restore changes anything before it
has compared the parts with the manifest; a process of the site runs during a restore.
"""
