device=$(cat "$WORK/device")
note device "$device"
dd if="$device" of=copy bs=64k
grep -q "loop-secret-of-$CASE" copy
