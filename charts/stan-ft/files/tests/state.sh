#!/bin/sh
# helm test: exactly one server is active, all others stand by, and each has a route to every other one.
set -eu

REPLICAS=${REPLICAS:?number of servers}
DOMAIN=${DOMAIN:?domain of the pods, such as stan.default.svc.cluster.local}
NAME=${NAME:?name of the StatefulSet}
MONITOR_PORT=${MONITOR_PORT:-8222}
ROUTES=${ROUTES:?routes that each server must have}
TIMEOUT=${TIMEOUT:-60} # seconds

ask() { timeout 3 wget -q -O - "http://$NAME-$1.$DOMAIN:$MONITOR_PORT$2" 2>/dev/null || true; }

# look: leaves the problem in $problem, or nothing if all is well.
look() {
  actives='' standbys=0 problem='' ordinal=0
  while [ "$ordinal" -lt "$REPLICAS" ]; do
    state=$(ask "$ordinal" /streaming/serverz | sed -n 's/.*"state": *"\([A-Z_]*\)".*/\1/p' | head -n 1)
    case $state in
      FT_ACTIVE) actives="$actives $NAME-$ordinal" ;;
      FT_STANDBY) standbys=$((standbys + 1)) ;;
      *) problem="$NAME-$ordinal: ${state:-no answer on its monitor port}" ;;
    esac
    routes=$(ask "$ordinal" /routez | grep -o '"remote_id": *"[^"]*"' | sort -u | wc -l | tr -d ' ')
    [ "$routes" -ge "$ROUTES" ] || problem="$NAME-$ordinal has a route to $routes of $ROUTES other servers"
    ordinal=$((ordinal + 1))
  done
  [ -z "$problem" ] || return 0
  # shellcheck disable=SC2086 # the names are a list
  set -- $actives
  [ $# = 1 ] || problem="$# servers are active:${actives:- none}"
}

began=$(date +%s)
until look && [ -z "$problem" ]; do
  if [ $(($(date +%s) - began)) -ge "$TIMEOUT" ]; then
    echo "error: after $TIMEOUT s: $problem"
    exit 1
  fi
  sleep 1
done
echo "ok: active is${actives}, $standbys standing by, each with $ROUTES routes"
