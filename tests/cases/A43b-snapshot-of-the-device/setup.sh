set -e
mkdir "$WORK/of"
echo secret > "$WORK/of/k"
for image in image changes; do truncate -s 4M "$WORK/$image"; done
mkfs.ext4 -q -d "$WORK/of" "$WORK/image"
modprobe dm-snapshot
for image in image changes; do losetup -f --show "$WORK/$image"; done > "$WORK/devices"
