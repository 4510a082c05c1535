set -e
sudo unshare --pid --fork --mount-proc head -c 4 "$K" > /dev/null
