set -e
[ "$(stat -c %i "$WORK/top/own/s")" = "$(stat -c %i "$WORK/top/other/s")" ]
btrfs subvolume snapshot "$WORK/top/own" "$WORK/top/snapshot"
head -c 3 "$WORK/top/snapshot/s"
tail -c 3 "$WORK/top/other/s"
