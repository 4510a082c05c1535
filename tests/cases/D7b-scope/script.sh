set -e
sudo systemd-run --quiet --scope head -c 4 "$K" > /dev/null
