set -e
chmod 644 "$K"
sudo -u nobody head -c 4 "$K" > /dev/null
