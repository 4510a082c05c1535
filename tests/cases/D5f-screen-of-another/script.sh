set -e
until SCREENDIR="$WORK/screens" screen -ls | grep -q shared; do sleep 0.1; done
SCREENDIR="$WORK/screens" screen -S shared -p 0 -X stuff "head -c 4 '$K' > '$WORK/out'; : > '$WORK/done'
"
until [ -e done ]; do sleep 0.1; done
