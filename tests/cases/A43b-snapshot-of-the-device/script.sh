set -e
{ read -r image; read -r changes; } < "$WORK/devices"
dmsetup create --noudevsync "monitor-$CASE" --table "0 $(blockdev --getsz "$image") snapshot $image $changes N 8"
dmsetup mknodes
mkdir seen
mount -o ro "/dev/mapper/monitor-$CASE" seen
cat seen/k
umount seen
