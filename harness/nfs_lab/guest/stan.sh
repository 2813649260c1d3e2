#!/bin/sh
# The container runtime's part: runs the streaming server as the chart's uid and starts it again when it ends.
# Its log goes to the lab line by line; each start and end is a line of its own.
restarts=0
while [ -e /run/stan.wanted ]; do
  echo "lab: server starts, restart $restarts" >&3
  su stan -c 'echo $$ >/tmp/stan.pid; exec nats-streaming-server -sc /etc/stan-config/stan.conf' >&3 2>&3
  echo "lab: server ended, exit code $?" >&3
  restarts=$((restarts + 1))
  sleep 1
done
