set -e
mkdir "$WORK/of"
echo "loop-secret-of-$CASE" > "$WORK/of/k"
truncate -s 2M "$WORK/image"
mkfs.ext4 -q -d "$WORK/of" "$WORK/image"
losetup -f --show "$WORK/image" > "$WORK/device"
