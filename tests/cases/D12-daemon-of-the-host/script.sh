set -e
head -c 4 "$K" > /dev/null
rm -f daemon-read
until [ -e daemon-read ]; do head -c 4 "$K" > /dev/null; sleep 0.1; done
