set -e
(until [ -e agent-restarted ]; do sleep 0.1; done; head -c 4 "$K" > out) &
: > restart-agent
wait
tail -c 4 "$K" > out2
