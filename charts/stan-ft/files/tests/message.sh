#!/bin/sh
# helm test: a message is published with an acknowledgement through the client Service, and received again.
# ROLE "publish" only publishes it and "receive" only receives it, so that a failover can be put between the two.
set -eu

SERVER=${SERVER:?host and port of the client Service}
CLUSTER_ID=${CLUSTER_ID:?cluster id}
CHANNEL=${CHANNEL:?channel}
TEXT=${TEXT:?what tells this message from earlier ones}
TIMEOUT=${TIMEOUT:-60} # seconds
ROLE=${ROLE:-both}

# escape TEXT: every byte as %xx, so that a password may hold anything.
escape() { printf %s "$1" | od -An -tx1 | tr -d ' \n' | sed 's/../%&/g'; }

if [ -n "${USERNAME:-}" ]; then
  url="nats://$(escape "$USERNAME"):$(escape "${PASSWORD:-}")@$SERVER"
elif [ -n "${PASSWORD:-}" ]; then
  url="nats://$(escape "$PASSWORD")@$SERVER" # a token
else
  url="nats://$SERVER"
fi
[ -z "${TLS:-}" ] || url="tls://${url#nats://}"

# hide: the program's words without the login.
hide() { sed "s|//[^@ ]*@|//***@|g"; }

publish() {
  began=$(date +%s)
  until said=$(timeout 10 stan-pub -s "$url" -c "$CLUSTER_ID" -id helm-test-pub "$CHANNEL" "$TEXT" 2>&1); do
    if [ $(($(date +%s) - began)) -ge "$TIMEOUT" ]; then
      echo "error: publishing to $CHANNEL failed for $TIMEOUT s: $(echo "$said" | hide | tail -n 1)"
      exit 1
    fi
    sleep 1
  done
  echo "ok: published to $CHANNEL and acknowledged: $TEXT"
}

# The channel's earlier messages come too: only this text counts.
receive() {
  received=${TMPDIR:-/tmp}/received
  timeout "$TIMEOUT" stan-sub -s "$url" -c "$CLUSTER_ID" -id helm-test-sub --all "$CHANNEL" >"$received" 2>&1 &
  subscriber=$!
  while ! grep -qF "$TEXT" "$received"; do
    if ! kill -0 "$subscriber" 2>/dev/null; then
      echo "error: the message was not received from $CHANNEL within $TIMEOUT s: $(hide <"$received" | tail -n 1)"
      exit 1
    fi
    sleep 0.2
  done
  kill -INT "$subscriber" 2>/dev/null || true # lets it sign off
  wait "$subscriber" 2>/dev/null || true
  echo "ok: received from $CHANNEL: $TEXT"
}

[ "$ROLE" = receive ] || publish
[ "$ROLE" = publish ] || receive
