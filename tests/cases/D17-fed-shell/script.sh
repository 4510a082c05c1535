set -e
echo "head -c 4 '$K' > '$WORK/out'; : > '$WORK/done'" > pipe
until [ -e done ]; do sleep 0.1; done
