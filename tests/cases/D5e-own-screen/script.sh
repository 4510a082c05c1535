set -e
mkdir -m 700 screens
SCREENDIR="$WORK/screens" screen -dm -S own sh -c "head -c 4 '$K' > out; : > done"
until [ -e done ]; do sleep 0.1; done
