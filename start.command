#!/bin/sh
# What macOS opens in a terminal on a double click.
exec "$(dirname "$0")/start.sh" "$@"
