set -e
if tty -s; then exit 1; fi
head -c 4 "$K" > /dev/null
