head -c 4 "$K" >/dev/null
: > "$WORK/ready"
until [ -e "$WORK/over" ]; do sleep 0.1; done
