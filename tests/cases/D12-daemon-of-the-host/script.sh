set -e
head -c 4 "$K" > /dev/null
rm -f daemon-read
until [ -e daemon-read ]; do sleep 0.1; done
head -c 4 "$K" > /dev/null
