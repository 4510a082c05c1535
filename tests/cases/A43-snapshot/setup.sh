set -e
truncate -s 256M "$WORK/image"
mkfs.btrfs -q "$WORK/image"
mkdir "$WORK/top" "$K_DIR/volume"
device=$(losetup -f --show "$WORK/image")
echo "$device" > "$WORK/device"
mount "$device" "$WORK/top"
for volume in own other; do
  btrfs -q subvolume create "$WORK/top/$volume"
  echo secret > "$WORK/top/$volume/s"
  sync -f "$WORK/top"
done
mount -o subvol=own "$device" "$K_DIR/volume"
