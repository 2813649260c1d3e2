# shellcheck shell=sh
# Sourced by init.sh: runs the lab's commands, which come on 4 and are answered on 5. In: a line with number, space,
# length, then a command of that many bytes. Out: a line with number, space, exit code, space, output in base64.
# Commands run at the same time and never block the agent.
run() {
  output=$(sh -c "$2" 2>&1 4<&- 5>&-)
  code=$?
  text=$(printf '%s' "$output" | base64 | tr -d '\n')
  until mkdir /run/answering 2>/dev/null; do usleep 5000; done
  printf '%s %s %s\n' "$1" "$code" "$text" >&5
  rmdir /run/answering
}
echo "lab: ready" >&3
while true; do
  while read -r number length <&4; do
    command=$(dd bs="$length" count=1 iflag=fullblock <&4 2>/dev/null)
    run "$number" "$command" &
  done
  sleep 0.2 # the host's end is not connected yet
done
