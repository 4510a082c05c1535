: > "$WORK/ready"
for i in 1 2 3 4 5; do tail -c 4 "$K" > /dev/null; sudo -u nobody true; done
: > "$WORK/done"
until [ -e "$WORK/over" ]; do sleep 0.1; done
