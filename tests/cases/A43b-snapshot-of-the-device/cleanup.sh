dmsetup remove "monitor-$CASE"
while read -r device; do losetup -d "$device"; done < "$WORK/devices"
