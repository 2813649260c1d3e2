#!/bin/sh
# helm test, on request: deletes the active pod and waits until another server is active.
set -eu

NAMESPACE=${NAMESPACE:?the namespace}
NAME=${NAME:?name of the StatefulSet}
REPLICAS=${REPLICAS:?number of servers}
DOMAIN=${DOMAIN:?domain of the pods}
MONITOR_PORT=${MONITOR_PORT:-8222}
TIMEOUT=${TIMEOUT:-30} # seconds

# active: the name of the active pod, if there is one.
active() {
  ordinal=0
  while [ "$ordinal" -lt "$REPLICAS" ]; do
    if timeout 1 wget -q -O - "http://$NAME-$ordinal.$DOMAIN:$MONITOR_PORT/streaming/serverz" 2>/dev/null | grep -q '"FT_ACTIVE"'; then
      echo "$NAME-$ordinal"
      return
    fi
    ordinal=$((ordinal + 1))
  done
}

before=$(active)
if [ -z "$before" ]; then
  echo "error: no server is active, so there is nothing to take over from"
  exit 1
fi
uid=$(kubectl --namespace="$NAMESPACE" get pod "$before" -o jsonpath='{.metadata.uid}')
echo "deleting $before, the active"
kubectl --namespace="$NAMESPACE" delete pod "$before" --wait=false
began=$(date +%s)
while :; do
  after=$(active)
  # The same name may be active again, in a new pod.
  if [ -n "$after" ] && { [ "$after" != "$before" ] ||
    [ "$(kubectl --namespace="$NAMESPACE" get pod "$after" --ignore-not-found -o jsonpath='{.metadata.uid}')" != "$uid" ]; }; then
    echo "ok: $after took over within $(($(date +%s) - began + 1)) s"
    exit 0
  fi
  if [ $(($(date +%s) - began)) -ge "$TIMEOUT" ]; then
    echo "error: nobody took over from $before within $TIMEOUT s"
    exit 1
  fi
  sleep 0.5
done
