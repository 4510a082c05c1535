set -e
echo "head -c 4 '$K' > '$WORK/out'; : > '$WORK/done'" | at now
until [ -e done ]; do sleep 0.1; done
