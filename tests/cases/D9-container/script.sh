set -e
sudo systemd-nspawn --quiet --pipe -D "$WORK/tree" --bind-ro=/usr --bind="$K_DIR:/k" /bin/head -c 4 /k/k > /dev/null
