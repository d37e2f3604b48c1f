#!/bin/sh
# Write a dump of the database, then a copy of the objects, and keep the 14 newest of each. With `nightly`: now and each 24 hours.
# The order matters: each run in the dump has its artifacts in the copy.
set -eu
umask 077
while :; do
  name=$(date +%Y-%m-%d-%H%M%S)
  pg_dump "$DATABASE" | gzip >"$BACKUPS/.$name.sql.gz"
  tar --xattrs --xattrs-include='user.*' -czf "$BACKUPS/.$name.objects.tar.gz" -C "$OBJECTS" . # the server's facts are attributes
  for kind in sql objects.tar; do
    mv "$BACKUPS/.$name.$kind.gz" "$BACKUPS/$name.$kind.gz"
    ls -t "$BACKUPS"/*."$kind.gz" | tail -n +15 | xargs -r rm
  done
  [ "${1:-}" = nightly ] || exit 0
  sleep 86400
done
