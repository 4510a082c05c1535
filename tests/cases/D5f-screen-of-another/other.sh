cd "$WORK"; mkdir -m 700 screens
SCREENDIR="$WORK/screens" screen -dm -S shared bash
: > "$WORK/ready"
until [ -e "$WORK/over" ]; do sleep 0.1; done
SCREENDIR="$WORK/screens" screen -S shared -X quit
