#!/bin/sh
# The kubelet's and the container runtime's part: runs the streaming server as the chart's user, and starts it again
# when it ends. Its log goes to the lab line by line; each start and end is a line of its own.
# Usage: stan.sh PROGRAM ARGUMENTS; the environment is in /run/stan.env.
restarts=0
while [ -e /run/stan.wanted ]; do
  echo "lab: server starts, restart $restarts" >&3
  /lab/as-stan.sh /run/stan.env "$@" >&3 2>&3
  echo "lab: server ended, exit code $?" >&3
  restarts=$((restarts + 1))
  sleep 1
done
