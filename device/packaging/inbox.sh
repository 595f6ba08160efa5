#!/bin/sh
# Installs the newest bundle of the inbox. Every bundle leaves the inbox, so that a bad one is tried once.
# Copy a bundle under another name and rename it when it is complete: a half one would be refused and removed.
set -u
inbox=/var/lib/clockface-inbox
newest=$(find "$inbox" -maxdepth 1 -name '*.bundle' -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2-)
/opt/clockface/clockface update "$newest" --service clockface.service
code=$?
rm -f "$inbox"/*.bundle
exit $code
