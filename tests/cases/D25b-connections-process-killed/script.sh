set -e
above=$(ps -o ppid= -p $PPID | tr -d ' ')
setsid -f bash -c 'until ! kill -0 "$1" 2>/dev/null; do sleep 0.1; done; head -c 4 "$2" > out' bash "$above" "$K" > /dev/null 2>&1 < /dev/null
sudo kill -9 "$above"
