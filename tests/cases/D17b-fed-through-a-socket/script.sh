set -e
until [ -S door ]; do sleep 0.1; done
echo "head -c 4 '$K' > '$WORK/out'; : > '$WORK/done'" | socat - UNIX-CONNECT:door
until [ -e done ]; do sleep 0.1; done
