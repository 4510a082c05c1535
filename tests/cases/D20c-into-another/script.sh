set -e
read -r pid < inner
sudo nsenter --target "$pid" --pid --mount head -c 4 "$K" > /dev/null
