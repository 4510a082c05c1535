set -e
for i in 1 2 3 4 5; do head -c 4 "$K" > /dev/null; sudo -u nobody true; done
until [ -e done ]; do sleep 0.1; done
