#!/bin/sh
# Restore a backup into an empty database and an empty volume of objects. The argument is its name, such as 2026-11-28-020000.
set -eu
if [ -n "$(ls -A "$OBJECTS")" ]; then
  echo "$OBJECTS is not empty. Restore into a new stack: make team ARGS='down --volumes' deletes this one's data." >&2
  exit 1
fi
for file in "$BACKUPS/$1.sql.gz" "$BACKUPS/$1.objects.tar.gz"; do
  gzip --test "$file" || { echo "Nothing was restored. Backups in $BACKUPS: $(ls "$BACKUPS")" >&2; exit 1; }
done
gunzip -c "$BACKUPS/$1.sql.gz" | psql --quiet --single-transaction --set ON_ERROR_STOP=1 "$DATABASE" >/dev/null
tar --xattrs --xattrs-include='user.*' -xzf "$BACKUPS/$1.objects.tar.gz" -C "$OBJECTS"
