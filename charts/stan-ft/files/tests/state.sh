#!/bin/sh
# helm test: exactly one server is active, all others stand by, each has a route to every other one and guards its store.
set -eu

REPLICAS=${REPLICAS:?number of servers}
DOMAIN=${DOMAIN:?domain of the pods, such as stan.default.svc.cluster.local}
NAME=${NAME:?name of the StatefulSet}
MONITOR_PORT=${MONITOR_PORT:-8222}
ROUTES=${ROUTES:?routes that each server must have}
FENCING_PORT=${FENCING_PORT:-} # of the supervisors, empty without them
TIMEOUT=${TIMEOUT:-60} # seconds

ask() { timeout 3 wget -q -O - "http://$NAME-$1.$DOMAIN:${3:-$MONITOR_PORT}$2" 2>/dev/null || true; }

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
    if [ -n "$FENCING_PORT" ]; then
      case $(ask "$ordinal" /healthz "$FENCING_PORT") in
        *'"stan_fencing_guarded": 1,'*) ;;
        *) problem="$NAME-$ordinal: its supervisor does not say that it guards the store" ;;
      esac
    fi
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
