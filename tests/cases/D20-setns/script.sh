set -e
sudo nsenter --target 1 --mount --pid --net --uts --ipc head -c 4 "$K" > /dev/null
