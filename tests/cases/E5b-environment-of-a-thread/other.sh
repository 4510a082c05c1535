echo "$$" > "$WORK/pid"
mv "$WORK/pid" "$WORK/ready"
until [ -e "$WORK/over" ]; do sleep 0.1; done
