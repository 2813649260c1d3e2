#!/bin/sh
# Restarts the servers of one FT group so that the active moves exactly once: standbys first, the active last.
# Runs in the chart's hook Job and from outside through scripts/rollout. Needs POSIX sh, kubectl and (VIA=direct) wget.
# Every round it looks at the live objects anew and keeps no state, so it can be stopped and started at any point.
# A Lease keeps two runs apart; a healthy pod is evicted, so budgets are heard; new servers are tried first (TRIAL).
set -eu

NAMESPACE=${NAMESPACE:?the namespace of the StatefulSet}
STATEFULSET=${STATEFULSET:?the name of the StatefulSet}
CONTAINER=${CONTAINER:-stan}
MONITOR_PORT=${MONITOR_PORT:-8222}
TIMEOUT=${TIMEOUT:-240}     # seconds until this gives up
PAUSE=${PAUSE:-0.2}         # seconds between two looks
ANSWER=${ANSWER:-2}         # seconds that a server has for an answer
RESTART=${RESTART:-outdated} # "outdated": pods of an older revision; "all": every pod that is there at the start
VIA=${VIA:-direct}          # "direct": ask the pod's address; "proxy": ask through the API server
CONTEXT=${CONTEXT:-}        # a context of the kubeconfig; empty for the current one or the pod's own account
RELEASE=${RELEASE:-}        # of helm, for what is said
TRIAL=${TRIAL:-}            # directory that is shared with the trial beside this; empty for none
BEGIN=${BEGIN:-$((TIMEOUT / 2))} # seconds until the trial's container has to have started
UNTRIED=${UNTRIED:-}        # why there is none
PATIENCE=${PATIENCE:-30}    # seconds: for a budget that forbids an eviction, for a group without an active that cannot start
LEASE=${LEASE:-30}          # seconds after which a run that no longer renews its Lease is taken for gone
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

# back: how to return to what ran before.
back() { echo "helm rollback${RELEASE:+ $RELEASE --namespace $NAMESPACE}"; }

# give_up WHY: fails, and says who serves the clients now.
give_up() {
  [ -z "$asked" ] || ask
  if [ -n "$actives" ]; then
    set -- "$1" "Nothing else was touched, and$actives is active; mend this and run it again, or go back: $(back)."
  else
    set -- "$1" "No server says that it is active: go back with $(back), or mend this and run it again."
  fi
  fail "$1. Restarted so far:${restarted:- none}. $2"
}

# Not --request-timeout: with it kubectl no longer takes the pod's own account.
api() { timeout 10 kubectl ${CONTEXT:+--context="$CONTEXT"} --namespace="$NAMESPACE" "$@"; }

# monitor POD ADDRESS PATH: what the server's monitor answers; nothing if it says nothing in time.
monitor() {
  if [ "$VIA" = proxy ]; then
    timeout "$ANSWER" kubectl ${CONTEXT:+--context="$CONTEXT"} get --raw \
      "/api/v1/namespaces/$NAMESPACE/pods/$1:$MONITOR_PORT/proxy$3" 2>/dev/null || true
    return
  fi
  case $2 in
    *:*) timeout "$ANSWER" wget -q -O - "http://[$2]:$MONITOR_PORT$3" 2>/dev/null || true ;;
    *) timeout "$ANSWER" wget -q -O - "http://$2:$MONITOR_PORT$3" 2>/dev/null || true ;;
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
  mute='' unready_standby='' mesh=' with all its routes' failing='' settling=''
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
      unsettled="$name is terminating" settling=1
      continue
    fi
    for one in $waiting; do
      case $one in ContainerCreating | PodInitializing) ;; *) trouble=$one ;; esac
    done
    [ "$scheduled" != False ] || trouble='no node takes it'
    if [ -n "${trouble:-}" ]; then
      if [ "$old" = old ]; then stuck="$name $uid $trouble"; else failing="$name does not start: $trouble"; fi
      trouble=''
    elif [ "$ready" = True ]; then
      asked="$asked $name|$uid|$old|$address|ready|$port"
    elif [ "$old" = old ] && [ -n "$running" ]; then
      asked="$asked $name|$uid|$old|$address|unready|$port" # it may never become Ready: its probes may be what the change mends
    else
      unsettled="$name is not Ready" settling=1
    fi
  done <<EOF
$objects
EOF
  unsettled=${failing:-$unsettled}
  # While a pod is on its way there is nothing to decide, and nothing to ask the servers.
  [ "$present" -lt "$replicas" ] || [ -n "$stuck$unsettled" ] || ask
  # One that does not start may be how all of them end: whether somebody is active then?
  if [ -n "$failing" ]; then
    [ -z "$asked" ] || ask
    unsettled=$failing
  fi
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
  actives=''
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
      '') unsettled="$name does not answer on its monitor port (a server that recovers its store does not)" settling=1 ;;
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
    verdict="evict $standby standby"
  elif [ -n "$old_active" ]; then
    verdict="evict $old_active active, the last one"
  else
    verdict=finished
  fi
}

# field NAME: the value of a text in the JSON that comes in.
field() { sed -n 's/.*"'"$1"'": *"\([^"]*\)".*/\1/p' | head -n 1; }

# refused ANSWER: leaves in $answer what kubectl said last; ends this where a right is missing, for waiting does not give it.
refused() {
  answer=$(echo "$1" | tail -n 1)
  case $1 in
    *'is forbidden: User'*)
      fail "$answer. It takes get on the StatefulSet, get and delete on its pods, create on pods/eviction, and get, create, update and delete on leases."
      ;;
  esac
}

# hold: takes the Lease, or renews it from time to time. Says in $reason why it cannot.
hold() {
  at=$(now)
  [ "$held" = 0 ] || [ $((at - held)) -ge $((LEASE / 3)) ] || return 0
  path=/apis/coordination.k8s.io/v1/namespaces/$NAMESPACE/leases
  if found=$(api get --raw "$path/$lease" 2>&1); then
    version=$(echo "$found" | field resourceVersion)
    holder=$(echo "$found" | field holderIdentity)
    if [ -n "$holder" ] && [ "$holder" != "$me" ]; then
      [ "$held" = 0 ] || give_up "another rollout ($holder) has taken over"
      # Its own clock may be wrong: what counts is that it does not change.
      [ "$version" = "$seen" ] || seen=$version seen_at=$at
      if [ $((at - seen_at)) -lt "$LEASE" ]; then
        reason="another rollout ($holder) is at work"
        return 1
      fi
    fi
    verb=replace path=$path/$lease
  else
    case $found in
      *NotFound* | *'not found'*) verb=create version='' ;;
      *) verb='' ;;
    esac
  fi
  if [ -n "$verb" ] && found=$(printf '{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"%s","namespace":"%s","resourceVersion":"%s"},"spec":{"holderIdentity":"%s","leaseDurationSeconds":%s,"renewTime":"%s"}}' \
    "$lease" "$NAMESPACE" "$version" "$me" "$LEASE" "$(date -u +%Y-%m-%dT%H:%M:%S.000000Z)" |
    api "$verb" --raw "$path" -f - 2>&1); then
    held=$at version=$(echo "$found" | field resourceVersion)
    return 0
  fi
  refused "$found"
  reason="the Lease $lease is not to be had: $answer"
  # Nobody takes it within this time, whatever the API server says now.
  [ "$held" != 0 ] && [ $((at - held)) -lt $((LEASE * 2 / 3)) ]
}

# leave: lets the next run and the trial go on at once, however this one ends.
leave() {
  [ -z "$TRIAL" ] || : >"$TRIAL/over"
  [ "$held" != 0 ] || return 0
  printf '{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"resourceVersion":"%s"}}' "$version" |
    api delete --raw "/apis/coordination.k8s.io/v1/namespaces/$NAMESPACE/leases/$lease" -f - >/dev/null 2>&1 || true
}

# tried: whether a new server became active on a copy of the store. Says in $reason what is awaited, and ends this if it did not.
tried() {
  [ -n "$TRIAL" ] || return 0
  [ -n "$wanted" ] || wanted=$(now)
  : >"$TRIAL/wanted"
  waited=$(($(now) - wanted))
  if [ -s "$TRIAL/verdict" ]; then
    { read -r result && read -r value && read -r words; } <"$TRIAL/verdict"
    [ "$result" = passed ] || give_up "a new server did not become active on a copy of the store: $words. The value to look at: $value"
    say "tried: $words"
    TRIAL=''
    return 0
  elif [ ! -e "$TRIAL/alive" ]; then
    [ "$waited" -lt "$BEGIN" ] || give_up "the trial of a new server did not start within $waited s: an image (image, fencing.image) cannot be pulled, or a Secret or the claim is missing. kubectl describe pod $(uname -n) --namespace $NAMESPACE tells which"
  elif [ $(($(now) - $(stat -c %Y "$TRIAL/alive"))) -gt 15 ]; then
    give_up "the trial of a new server was killed, most likely for want of memory. The value to look at: container.resources.limits.memory"
  fi
  reason='a new server is tried on a copy of the store'
  return 1
}

# restart HOW POD UID WHY...: evicts or deletes this very pod, never its successor of the same name. Fails if it cannot.
restart() {
  how=$1 pod=$2 uid=$3
  shift 3
  # With nobody active there is nothing that a bad change could take away.
  [ -z "$active" ] || tried || return 1
  hold || return 1
  if [ -n "$UNTRIED" ] && [ -n "$active" ]; then
    say "note: a new server was not tried on a copy of the store: $UNTRIED"
    UNTRIED=''
  fi
  path=/api/v1/namespaces/$NAMESPACE/pods/$pod
  options=$(printf '"preconditions":{"uid":"%s"}' "$uid")
  if [ "$how" = evict ]; then
    if answer=$(printf '{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"%s","namespace":"%s"},"deleteOptions":{%s}}' \
      "$pod" "$NAMESPACE" "$options" | api create --raw "$path/eviction" -f - 2>&1); then
      say "restarting $pod ($*)"
      restarted="$restarted $pod"
      return 0
    fi
    [ "$forbidden_uid" = "$uid" ] || forbidden_uid=$uid forbidden_at=$(now)
    refused "$answer"
    reason="$pod was not evicted: $answer"
    [ $(($(now) - forbidden_at)) -ge "$PATIENCE" ] || return 1
    say "note: a PodDisruptionBudget has forbidden this for $PATIENCE s with every server Ready, so $pod is deleted"
  fi
  say "restarting $pod ($*)"
  if answer=$(printf '{"apiVersion":"v1","kind":"DeleteOptions",%s}' "$options" | api delete --raw "$path" -f - 2>&1); then
    restarted="$restarted $pod"
  else
    refused "$answer"
    reason="$pod was not deleted: $answer"
    return 1
  fi
}

began=$(now)
lease=$STATEFULSET-rollout me=$(uname -n)-$$ held=0 version='' seen='' seen_at=0
asked='' actives='' wanted='' forbidden_uid='' forbidden_at=0
trap leave EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
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

active='' failing='' stuck='' settling='' restarted='' reason='' last_reason='' last_active='' takeovers=0 active_at=$began
while :; do
  look
  [ "$held" = 0 ] || hold || true
  [ -z "$active" ] || active_at=$(now)
  if [ -n "$failing" ] && [ -z "$active$stuck$settling" ] && [ $(($(now) - active_at)) -ge "$PATIENCE" ]; then
    give_up "no server has been active for $PATIENCE s, and none will be: $failing"
  fi
  if [ -n "$active" ] && [ "$active" != "$last_active" ]; then
    [ -z "$last_active" ] || takeovers=$((takeovers + 1))
    say "$active is active"
    last_active=$active
  fi
  case $verdict in
    finished) break ;;
    restart* | evict*)
      # shellcheck disable=SC2086 # the words are the arguments
      if restart $verdict; then
        last_reason=''
        continue
      fi
      ;;
    *) reason=${verdict#wait } ;;
  esac
  [ "$reason" = "$last_reason" ] || say "waiting: $reason"
  last_reason=$reason
  [ $(($(now) - began)) -lt "$TIMEOUT" ] ||
    give_up "gave up after $TIMEOUT s: $reason"
  sleep "$PAUSE"
done
say "done in $(($(now) - began)) s: restarted${restarted:- none}; active is $active; takeovers: $takeovers; every server is Ready$mesh"
