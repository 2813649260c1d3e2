#!/bin/sh
# Runs a program as the container runtime does: as the chart's user, with the environment in a file, its process number
# in /run/PROGRAM.pid. Usage: as-stan.sh ENVIRONMENT-FILE PROGRAM ARGUMENTS
# shellcheck source=/dev/null # chosen by the caller
. "$1"
shift
echo $$ >"/run/${1##*/}.pid"
exec /usr/bin/setpriv --reuid stan --regid stan --clear-groups --no-new-privs --inh-caps -all --bounding-set -all "$@"
