# step NAME CMD…: run one step of a longer work with a log of its own and one line on the screen.
log_dir=logs/${0##*/}
mkdir -p "$log_dir"
started=$SECONDS

step() {
  local name=$1 begin=$SECONDS pid log spent line room
  log="$log_dir/${name// /-}.log"
  shift
  # The step must not keep the set-up's lock when it outlives an interrupted script.
  "$@" >"$log" 2>&1 </dev/null 9>&- &
  pid=$!
  trap 'kill "$pid" 2>/dev/null; exit 130' INT
  trap 'kill "$pid" 2>/dev/null; exit 143' TERM
  # A line that wraps could not be drawn over; 32 columns stand before the log's.
  room=0
  if [ -t 1 ]; then { room=$(stty size <&3 | cut -d' ' -f2); } 3>&1; fi
  room=$((${room:-0} > 33 ? room - 33 : 47))
  while kill -0 "$pid" 2>/dev/null; do
    if [ -t 1 ]; then
      line=$(tail -n 1 "$log" | tr -d '\r')
      printf '\r\033[K  … %-20s %4ds  %s' "$name" $((SECONDS - begin)) "${line:0:room}"
    fi
    sleep 0.2
  done
  [ -t 1 ] && printf '\r\033[K'
  spent=$((SECONDS - begin))
  if wait "$pid"; then
    printf '  ✓ %-20s %4ds\n' "$name" "$spent"
    return
  fi
  printf '  ✗ %-20s %4ds\n\n' "$name" "$spent"
  tail -n 15 "$log" | sed 's/^/    /'
  printf '\n%s: step "%s" failed; the whole log is %s. Mend what it names and run %s again.\n' "$0" "$name" "$log" "$0" >&2
  exit 1
}

finish() { printf '  ready in %ds\n' $((SECONDS - started)); }
