#!/bin/sh
# Restarts the servers of one FT group so that the active moves exactly once: standbys first, the active last.
# Runs in the chart's hook Job and from outside through scripts/rollout. Needs POSIX sh, kubectl and (VIA=direct) wget.
# Every round it looks at the live objects anew and keeps no state, so it can be stopped and started at any point.
set -eu

NAMESPACE=${NAMESPACE:?the namespace of the StatefulSet}
STATEFULSET=${STATEFULSET:?the name of the StatefulSet}
CONTAINER=${CONTAINER:-stan}
MONITOR_PORT=${MONITOR_PORT:-8222}
TIMEOUT=${TIMEOUT:-240}     # seconds until this gives up
PAUSE=${PAUSE:-0.2}         # seconds between two looks
RESTART=${RESTART:-outdated} # "outdated": pods of an older revision; "all": every pod that is there at the start
VIA=${VIA:-direct}          # "direct": ask the pod's address; "proxy": ask through the API server
CONTEXT=${CONTEXT:-}        # a context of the kubeconfig; empty for the current one or the pod's own account
ROUTES=${ROUTES:-}          # routes that each server must have; empty for one to every other server where the servers
                            # form a cluster (with an external NATS they do not), 0 for no check

FIELDS='{range .items[*]}{.kind}|{.metadata.name}|{.metadata.uid}|{.metadata.deletionTimestamp}|'
FIELDS=$FIELDS'{.metadata.generation}|{.status.observedGeneration}|{.status.updateRevision}|'
FIELDS=$FIELDS'{.metadata.labels.controller-revision-hash}|{.status.podIP}|'
FIELDS=$FIELDS'{.status.conditions[?(@.type=="PodScheduled")].status}|{.status.conditions[?(@.type=="Ready")].status}|'
FIELDS=$FIELDS'{.status.containerStatuses[?(@.name=="'$CONTAINER'")].state.waiting.reason}'
FIELDS=$FIELDS'{range .status.initContainerStatuses[*]} {.state.waiting.reason}{end}|'
FIELDS=$FIELDS'{.status.containerStatuses[?(@.name=="'$CONTAINER'")].state.running.startedAt}|'
FIELDS=$FIELDS'{.spec.containers[?(@.name=="'$CONTAINER'")].ports[?(@.name=="monitor")].containerPort}{"\n"}{end}'

now() { date +%s; }
say() { echo "$(date -u +%H:%M:%S) $*"; }

fail() {
  say "error: $*"
  exit 1
}

# Not --request-timeout: with it kubectl no longer takes the pod's own account.
api() { timeout 10 kubectl ${CONTEXT:+--context="$CONTEXT"} --namespace="$NAMESPACE" "$@"; }

# monitor POD ADDRESS PATH: what the server's monitor answers; nothing if it says nothing for 2 seconds.
monitor() {
  if [ "$VIA" = proxy ]; then
    timeout 2 kubectl ${CONTEXT:+--context="$CONTEXT"} get --raw \
      "/api/v1/namespaces/$NAMESPACE/pods/$1:$MONITOR_PORT/proxy$3" 2>/dev/null || true
    return
  fi
  case $2 in
    *:*) timeout 2 wget -q -O - "http://[$2]:$MONITOR_PORT$3" 2>/dev/null || true ;;
    *) timeout 2 wget -q -O - "http://$2:$MONITOR_PORT$3" 2>/dev/null || true ;;
  esac
}

state_of() { monitor "$1" "$2" /streaming/serverz | sed -n 's/.*"state": *"\([A-Z_]*\)".*/\1/p' | head -n 1; }

# Counts peers, not connections: two servers may hold two routes to each other for a moment.
routes_of() { monitor "$1" "$2" /routez | grep -o '"remote_id": *"[^"]*"' | sort -u | wc -l | tr -d ' '; }

# apart POD ADDRESS: whether the server says that it is in no cluster of NATS servers, so has no routes to anybody.
apart() { [ -z "$ROUTES" ] && monitor "$1" "$2" /varz | grep -q '"cluster": *{ *}'; }

# look: asks for everything once and leaves in $verdict "restart POD UID WHY", "wait WHY" or "finished".
look() {
  # shellcheck disable=SC2086 # the names are a list
  if ! objects=$(api get "statefulset/$STATEFULSET" $names --ignore-not-found -o jsonpath="$FIELDS" 2>&1); then
    verdict="wait the API server refuses: $(echo "$objects" | tail -n 1)"
    return
  fi
  present=0 revision='' behind='' stuck='' unsettled='' standby='' old_active='' actives='' incomplete='' asked=''
  mute='' unready_standby='' mesh=' with all its routes'
  while IFS='|' read -r kind name uid deleted generation observed update hash address scheduled ready waiting running \
    port; do
    case $kind in
      StatefulSet)
        revision=$update
        [ "${observed:-0}" -ge "$generation" ] || behind=1
        continue
        ;;
      Pod) present=$((present + 1)) ;;
      *) continue ;;
    esac
    if [ "$RESTART" = all ]; then
      case " $condemned " in *" $uid "*) old=old ;; *) old=new ;; esac
    else
      [ "$hash" = "$revision" ] && old=new || old=old
    fi
    if [ -n "$deleted" ]; then
      unsettled="$name is terminating"
      continue
    fi
    for one in $waiting; do
      case $one in ContainerCreating | PodInitializing) ;; *) trouble=$one ;; esac
    done
    [ "$scheduled" != False ] || trouble='no node takes it'
    if [ -n "${trouble:-}" ]; then
      if [ "$old" = old ]; then stuck="$name $uid $trouble"; else unsettled="$name does not start: $trouble"; fi
      trouble=''
    elif [ "$ready" = True ]; then
      asked="$asked $name|$uid|$old|$address|ready|$port"
    elif [ "$old" = old ] && [ -n "$running" ]; then
      asked="$asked $name|$uid|$old|$address|unready|$port" # it may never become Ready: its probes may be what the change mends
    else
      unsettled="$name is not Ready"
    fi
  done <<EOF
$objects
EOF
  # While a pod is on its way there is nothing to decide, and nothing to ask the servers.
  [ "$present" -lt "$replicas" ] || [ -n "$stuck$unsettled" ] || ask
  decide
}

# answer POD UID AGE ADDRESS READINESS PORT: one line with what a server says of itself and to how many others it has routes.
answer() {
  MONITOR_PORT=${6:-$MONITOR_PORT} # each pod's own: this change may give the servers another one
  state=$(state_of "$1" "$4")
  # A server that recovers its store still answers here; one that says nothing at all cannot be waited for.
  [ "$5" = ready ] || [ -n "$state" ] || [ -n "$(monitor "$1" "$4" /varz)" ] || state=MUTE
  # Only servers that stay are asked for their routes: an old one may lack them for the very reason of this change.
  found=$routes
  if [ "$3" = new ] && [ "$routes" -gt 0 ]; then
    found=$(routes_of "$1" "$4")
    if [ "$found" -lt "$routes" ] && apart "$1" "$4"; then found=apart; fi
  fi
  echo "$1|$2|$3|$5|$found|$state"
}

# ask: asks all servers at the same time, and sorts them by what they say.
ask() {
  answers=$({
    for pod in $asked; do
      (
        IFS='|'
        # shellcheck disable=SC2086 # the fields are the arguments
        set -- $pod
        unset IFS
        answer "$@"
      ) &
    done
    wait
  } | sort)
  while IFS='|' read -r name uid old readiness found state; do
    case $state in
      FT_ACTIVE)
        actives="$actives $name"
        [ "$old" = new ] || old_active="$name $uid"
        ;;
      FT_STANDBY)
        [ "$old" = new ] || standby="$name $uid"
        [ "$readiness" = ready ] || unready_standby="$name $uid"
        ;;
      MUTE) mute="$name $uid" ;;
      '') unsettled="$name does not answer on its monitor port (a server that recovers its store does not)" ;;
      *) unsettled="$name is $state" ;;
    esac
    if [ "$found" = apart ]; then
      mesh=', in no cluster'
    elif [ "$found" -lt "$routes" ]; then
      incomplete="$name has a route to $found of $routes other servers"
    fi
  done <<EOF
$answers
EOF
}

# decide: the rule itself, from what look() found.
decide() {
  active=${actives# }
  if [ -z "$revision" ]; then
    fail "StatefulSet $STATEFULSET is not in namespace $NAMESPACE"
  elif [ -n "$behind" ]; then
    verdict="wait the StatefulSet controller has not seen the change yet"
  elif [ -n "$stuck" ]; then
    verdict="restart $stuck" # it serves nobody and will not get better
  elif [ "$present" -lt "$replicas" ]; then
    verdict="wait $present of $replicas pods are there"
  elif [ -n "$unsettled" ]; then
    verdict="wait $unsettled"
  elif [ "$active" != "${active% *}" ]; then
    verdict="wait more than one server says that it is active: $active"
  elif [ -n "$mute" ]; then
    verdict="restart $mute not Ready, and its monitor port $MONITOR_PORT says nothing"
  elif [ -z "$active" ]; then
    verdict="wait no server is active"
  elif [ -n "$unready_standby" ]; then
    verdict="restart $unready_standby standby, not Ready"
  elif [ -n "$incomplete" ]; then
    verdict="wait $incomplete"
  elif [ -n "$standby" ]; then
    verdict="restart $standby standby"
  elif [ -n "$old_active" ]; then
    verdict="restart $old_active active, the last one"
  else
    verdict=finished
  fi
}

# restart POD UID WHY...: deletes this very pod, never its successor of the same name. Fails if it cannot.
restart() {
  pod=$1 uid=$2
  shift 2
  say "restarting $pod ($*)"
  if answer=$(printf '{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"%s"}}' "$uid" |
    api delete --raw "/api/v1/namespaces/$NAMESPACE/pods/$pod" -f - 2>&1); then
    restarted="$restarted $pod"
  else
    reason="$pod was not deleted: $(echo "$answer" | tail -n 1)"
    return 1
  fi
}

began=$(now)
replicas=$(api get statefulset "$STATEFULSET" -o jsonpath='{.spec.replicas}' 2>&1) ||
  fail "StatefulSet $STATEFULSET in namespace $NAMESPACE cannot be read: $(echo "$replicas" | tail -n 1)"
strategy=$(api get statefulset "$STATEFULSET" -o jsonpath='{.spec.updateStrategy.type}')
[ "$strategy" = OnDelete ] || [ "$RESTART" = all ] ||
  say "note: the update strategy of $STATEFULSET is $strategy, so its own controller restarts pods as well; OnDelete leaves that to this program"
routes=${ROUTES:-$((replicas - 1))}
names=''
ordinal=0
while [ "$ordinal" -lt "$replicas" ]; do
  names="$names pod/$STATEFULSET-$ordinal"
  ordinal=$((ordinal + 1))
done
condemned=''
# shellcheck disable=SC2086 # the names are a list
[ "$RESTART" = outdated ] ||
  condemned=$(api get "statefulset/$STATEFULSET" $names --ignore-not-found -o jsonpath='{.items[*].metadata.uid}')

active='' active='' restarted='' reason='' last_reason='' last_active='' takeovers=0
while :; do
  look
  if [ -n "$active" ] && [ "$active" != "$last_active" ]; then
    [ -z "$last_active" ] || takeovers=$((takeovers + 1))
    say "$active is active"
    last_active=$active
  fi
  case $verdict in
    finished) break ;;
    restart*)
      # shellcheck disable=SC2086 # the words are the arguments
      if restart ${verdict#restart }; then
        last_reason=''
        continue
      fi
      ;;
    *) reason=${verdict#wait } ;;
  esac
  [ "$reason" = "$last_reason" ] || say "waiting: $reason"
  last_reason=$reason
  [ $(($(now) - began)) -lt "$TIMEOUT" ] ||
    fail "gave up after $TIMEOUT s: $reason. Restarted so far:${restarted:- none}. Nothing else was touched; mend this and run it again."
  sleep "$PAUSE"
done
say "done in $(($(now) - began)) s: restarted${restarted:- none}; active is $active; takeovers: $takeovers; every server is Ready$mesh"
