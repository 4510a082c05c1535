set -e
chmod 644 "$K"
sudo setpriv --reuid=65534 --regid=65534 --clear-groups head -c 4 "$K" > /dev/null
