set -e
echo "head -c 4 '$K' > '$WORK/out'; : > '$WORK/done'" > "/proc/$(cat shell)/fd/0"
until [ -e done ]; do sleep 0.1; done
