#!/bin/sh
# Write a dump of the database, then a copy of the objects, and keep the 14 newest of each. With `nightly`: now and each 24 hours.
# The order matters: each run in the dump has its artifacts in the copy. If one of both fails, neither is kept and the script ends
# with an error: Docker starts it again.
set -eu
umask 077
while :; do
  (
    flock 9 # another one may be running
    name=$(date +%Y-%m-%d-%H%M%S)
    rm -f "$BACKUPS"/.*.gz                                           # of a backup that failed
    pg_dump --compress=6 --file="$BACKUPS/.$name.sql.gz" "$DATABASE" # a pipe to gzip would hide an error
    # The server's facts are attributes. Status 1: an object was written meanwhile, which no run in the dump has.
    tar --xattrs --xattrs-include='user.*' -czf "$BACKUPS/.$name.objects.tar.gz" -C "$OBJECTS" . || [ $? -eq 1 ]
    for kind in sql objects.tar; do
      mv "$BACKUPS/.$name.$kind.gz" "$BACKUPS/$name.$kind.gz"
      ls -t "$BACKUPS"/*."$kind.gz" | tail -n +15 | xargs -r rm
    done
  ) 9>"$BACKUPS/.lock"
  [ "${1:-}" = nightly ] || exit 0
  sleep 86400
done
